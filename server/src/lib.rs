//! The central server: what agents send becomes rows, rows become findings, findings become alerts and pages.
//!
//! Read in the order of the flow: [`listeners`] let agents in whom [`identity`] vouches for; every query is in [`db`];
//! [`cli`] puts it together. One process holds one [`app::App`]; nothing else is shared.

pub mod clock;

pub mod coded;

pub mod config;

pub mod postgres;

pub mod db;

pub mod identity;

pub mod live;

pub mod questions;

pub mod replicas;

pub mod ingest;

pub mod captures;

pub mod events;

pub mod findings;

pub mod departures;

pub mod silence;

pub mod backup;

pub mod learned_ports;

pub mod suspects;

pub mod retention;

pub mod alerts;

pub mod rulebook;

pub mod catalog;

pub mod app;

pub mod listeners;

pub mod lifecycle;

pub mod lease;

pub mod people;

pub mod api;

pub mod demo;

pub mod simulate;

pub mod cli;
