//! Entries of the event logs for people: each as a sentence, made here from its id and data. An entry that is not
//! understood is shown with its provider, id and data. Pure.

pub mod sentence;
