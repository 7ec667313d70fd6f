"""The settings class of each stage, made by `dnalm.workflow.stages` and read by the stage's script."""
