"""What each stage is told: a class a stage, made by `dnalm.workflow.stages` and read by the stage's script."""
