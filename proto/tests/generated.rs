//! The committed generated code is what the definitions give. `UPDATE=1` writes it.

use std::path::Path;

const FILES: [&str; 3] = ["fleet/v1/fleet.proto", "fleet/v1/facts.proto", "fleet/v1/enroll.proto"];

#[test]
fn generated_code_is_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let descriptors = protox::compile(FILES, [root]).expect("the definitions compile");
    let out = tempfile::tempdir().unwrap();
    tonic_prost_build::configure()
        .codec_path("crate::codec::SmallBuffers")
        .build_transport(false)
        .emit_rerun_if_changed(false)
        .out_dir(out.path())
        .compile_fds(descriptors)
        .unwrap();

    let fresh = std::fs::read_to_string(out.path().join("fleet.v1.rs")).unwrap();
    let committed = root.join("src/generated/fleet.v1.rs");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&committed, &fresh).unwrap();
    }
    let present = std::fs::read_to_string(&committed).unwrap_or_default();
    assert!(present == fresh, "proto/src/generated is stale: run `make gen`");
}
