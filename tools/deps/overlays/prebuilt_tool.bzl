"""A prebuilt executable that is run with the shared libraries beside it."""

def _impl(ctx):
    out = ctx.actions.declare_file("tools/" + ctx.label.name)
    ctx.actions.symlink(output = out, target_file = ctx.file.src, is_executable = True)
    return [DefaultInfo(executable = out, runfiles = ctx.runfiles(files = [ctx.file.src] + ctx.files.data))]

prebuilt_tool = rule(
    implementation = _impl,
    executable = True,
    attrs = {
        "data": attr.label_list(allow_files = True),
        "src": attr.label(allow_single_file = True),
    },
)
