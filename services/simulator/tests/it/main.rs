//! The simulator as its clients see it: real HTTP and SMTP clients, over real sockets.

mod api;
mod faults_http;
mod faults_smtp;
mod fcm;
mod memory;
mod page;
mod smtp;
mod support;
mod twilio;
