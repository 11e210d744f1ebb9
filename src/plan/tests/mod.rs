//! The planner's tests: a small fleet to build on, a pure world that carries plans out, and the safety rules as
//! properties.

mod adoption;
mod build;
mod cluster;
mod elsewhere;
mod environments;
mod histories;
mod interrupted;
mod members;
mod properties;
mod renamed;
mod rules;
mod services;
mod surroundings;
mod under_way;
mod world;
