//! trueup keeps Docker hosts and Docker Swarms true to a git repository.
//!
//! One way through: a commit becomes `Desired` (config), the engines are read into `Observed` (observe), healthy
//! instances become endpoints and generated files (endpoints, render), the difference becomes a `Plan` (diff, plan),
//! and the plan is carried out (apply). control/ runs that line again and again; cli/ is the door.
//! docs/architecture.md has the floors; tests/architecture.rs holds the tree to them.

pub mod model;

pub mod ports;

pub mod config;
pub mod diff;
pub mod endpoints;
pub mod import;
pub mod output;
pub mod render;

pub mod plan;
pub mod policy;

pub mod apply;
pub mod observe;

pub mod control;

pub mod adapter;
pub mod sim;

pub mod http;

pub mod cli;
