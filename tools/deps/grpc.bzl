"""cc_grpc_library: the gRPC C++ stubs of one proto_library."""

def _gen_impl(ctx):
    info = ctx.attr.proto[ProtoInfo]
    root = info.proto_source_root

    # An import path is what other protos, and C++ includes, call the file; with strip_import_prefix it is not its
    # path in the tree. So the stubs go into a folder of their own that mirrors import paths.
    imports = []
    for source in info.direct_sources:
        path = source.path
        if root != "." and path.startswith(root + "/"):
            path = path[len(root) + 1:]
        imports.append(path)
    srcs = []
    hdrs = []
    for path in imports:
        base = "_grpc/" + ctx.attr.library + "/" + path[:-len(".proto")]
        srcs.append(ctx.actions.declare_file(base + ".grpc.pb.cc"))
        hdrs.append(ctx.actions.declare_file(base + ".grpc.pb.h"))
    out = srcs[0].path[:-len("/" + imports[0][:-len(".proto")] + ".grpc.pb.cc")]

    args = ctx.actions.args()
    args.add("--plugin=protoc-gen-grpc=" + ctx.executable._plugin.path)
    args.add("--grpc_out=" + out)
    args.add_joined("--descriptor_set_in", info.transitive_descriptor_sets, join_with = ":")
    args.add_all(imports)
    ctx.actions.run(
        executable = ctx.executable._protoc,
        tools = [ctx.attr._plugin[DefaultInfo].files_to_run],
        inputs = info.transitive_descriptor_sets,
        outputs = srcs + hdrs,
        arguments = [args],
        mnemonic = "GenGrpcCc",
        progress_message = "Generating gRPC stubs %{label}",
    )
    return [
        DefaultInfo(files = depset(srcs + hdrs)),
        OutputGroupInfo(srcs = depset(srcs), hdrs = depset(hdrs)),
    ]

_grpc_gen = rule(
    implementation = _gen_impl,
    attrs = {
        "library": attr.string(mandatory = True),
        "proto": attr.label(mandatory = True, providers = [ProtoInfo]),
        "_plugin": attr.label(default = "@protoc_tools//:grpc_cpp_plugin", executable = True, cfg = "exec"),
        "_protoc": attr.label(default = "@com_google_protobuf//:protoc", executable = True, cfg = "exec"),
    },
)

def cc_grpc_library(name, srcs, deps, **kwargs):
    """The service stubs of a proto_library.

    Args:
      name: the target; include its headers as <import path>.grpc.pb.h.
      srcs: exactly one proto_library with services.
      deps: the cc_proto_library of the same proto_library.
      **kwargs: visibility, testonly.
    """
    if len(srcs) != 1:
        fail("cc_grpc_library %s: srcs must be one proto_library" % name)
    inner = {key: kwargs[key] for key in ["testonly"] if key in kwargs}
    _grpc_gen(name = name + "_gen", library = name, proto = srcs[0], visibility = ["//visibility:private"], **inner)
    native.filegroup(name = name + "_srcs", srcs = [name + "_gen"], output_group = "srcs", visibility = ["//visibility:private"], **inner)
    native.filegroup(name = name + "_hdrs", srcs = [name + "_gen"], output_group = "hdrs", visibility = ["//visibility:private"], **inner)
    native.cc_library(
        name = name,
        srcs = [name + "_srcs"],
        hdrs = [name + "_hdrs"],
        copts = ["-w"],
        includes = ["_grpc/" + name],
        # The generated files are not ours to fix.
        features = ["-layering_check", "-parse_headers"],
        deps = deps + ["@grpc//:grpc++"],
        **kwargs
    )
