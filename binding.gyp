{
  "variables": { "sanitize%": "" },
  "target_defaults": {
    "include_dirs": ["addon"],
    "ldflags": ["-Wl,-rpath,'$$ORIGIN'"],
    "defines": ["NAPI_VERSION=9", "NODE_ADDON_API_DISABLE_DEPRECATED", "NODE_ADDON_API_ENABLE_MAYBE=0", "NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"],
    "cflags_cc": ["-isystem", "<!(node -p \"require('node:path').resolve(require('node-addon-api').include_dir)\")", "-std=c++20", "-O2", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Wno-sign-conversion", "-Werror", "-fno-exceptions", "-fno-rtti", "-fvisibility=hidden"],
    "cflags_cc!": ["-std=gnu++17", "-std=gnu++20"],
    "conditions": [
      ["sanitize!=''", {
        "cflags_cc": ["-fsanitize=<(sanitize)", "-fno-omit-frame-pointer", "-g", "-O1"],
        "ldflags": ["-fsanitize=<(sanitize)"]
      }]
    ]
  },
  "targets": [
    {
      "target_name": "chfs",
      "sources": [
        "addon/addon.cc",
        "addon/pool/buffer_pool.cc",
        "addon/fuse/session.cc",
        "addon/fuse/mount.cc",
        "addon/uring/uring.cc",
        "addon/clock/clock.cc",
        "addon/files/files.cc",
        "addon/files/long_call.cc",
        "addon/kv/kv.cc",
        "addon/kv/job.cc",
        "addon/kv/engine.cc",
        "addon/kv/engine_open.cc",
        "addon/kv/engine_checkpoint.cc",
        "addon/kv/publication.cc",
        "addon/kv/environment.cc",
        "addon/kv/root_file.cc",
        "addon/kv/reserve.cc",
        "addon/kv/batch.cc",
        "addon/kv/redo_log.cc",
        "addon/kv/log_format.cc",
        "addon/kv/bytes.cc"
      ],
      "libraries": ["-luring", "-llmdb"]
    },
    {
      "target_name": "chfs_ucx",
      "sources": [
        "addon/ucx/module.cc",
        "addon/ucx/transport.cc",
        "addon/ucx/engine.cc",
        "addon/ucx/inbound.cc",
        "addon/ucx/outbound.cc",
        "addon/ucx/requests.cc",
        "addon/ucx/channels.cc",
        "addon/ucx/channel.cc",
        "addon/ucx/witness.cc",
        "addon/ucx/mailbox.cc",
        "addon/ucx/address.cc",
        "addon/ucx/status.cc",
        "addon/ucx/worker.cc",
        "addon/ucx/spin.cc",
        "addon/ucx/epoll_guard.cc",
        "addon/pool/buffer_pool.cc"
      ],
      "cflags_cc": ["<!@(pkg-config --silence-errors --cflags-only-I ucx || true)"],
      "libraries": [
        "-Wl,--no-as-needed",
        "<!@(pkg-config --silence-errors --libs ucx || echo -lucp -luct -lucs -lucm)",
        "<!@(pkg-config --silence-errors --variable=libdir ucx | sed -n '\\|^/usr/lib|!s|^|-Wl,-rpath,|p')",
        "<!@(ldconfig -p | grep -q 'libnuma.so.1 ' && echo -l:libnuma.so.1 || true)"
      ]
    }
  ]
}
