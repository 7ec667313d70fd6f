# The workflow is workflow/Snakefile. `include:` would forget its default target, so the call behind it is used.
workflow.include("workflow/Snakefile", overwrite_default_target=True)
