//! No text can reach an agent on the stream, by structure: everything that `ServerMessage` can hold is a number.

use std::collections::HashSet;

use prost_reflect::{DescriptorPool, Kind, MessageDescriptor};

#[test]
fn nothing_that_the_server_says_can_carry_text() {
    let descriptors = protox::compile(["fleet/v1/fleet.proto"], [env!("CARGO_MANIFEST_DIR")]).unwrap();
    let pool = DescriptorPool::from_file_descriptor_set(descriptors).unwrap();
    let stream = pool.get_service_by_name("fleet.v1.Fleet").unwrap();
    let mut seen = HashSet::new();
    for method in stream.methods() {
        assert_numbers_only(&method.output(), &mut seen);
    }
    assert!(seen.contains("fleet.v1.Welcome"), "the walk reached what a Welcome holds");
}

fn assert_numbers_only(message: &MessageDescriptor, seen: &mut HashSet<String>) {
    if !seen.insert(message.full_name().to_owned()) {
        return;
    }
    assert!(message.full_name().starts_with("fleet.v1."), "{} is a foreign message", message.full_name());
    for field in message.fields() {
        assert!(!field.is_map(), "{} is a map", field.full_name());
        match field.kind() {
            Kind::String | Kind::Bytes => panic!("{} can carry text to an agent", field.full_name()),
            Kind::Message(inner) => assert_numbers_only(&inner, seen),
            _ => {}
        }
    }
}
