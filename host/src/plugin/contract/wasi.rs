//! The two WASI interfaces that are ours instead of wasmtime-wasi's, for every version of the contract: name look-up (`dns`) and the
//! making of sockets (`sockets`). Linked under the newest name, they serve every older 0.2 as well.

wasmtime::component::bindgen!({
    path: "../wit/v1.0",
    inline: "
        package cofre:wasi-of-ours;
        world imports {
            import wasi:sockets/ip-name-lookup@0.2.12;
            import wasi:sockets/tcp-create-socket@0.2.12;
        }
    ",
    world: "cofre:wasi-of-ours/imports",
    imports: { default: async | trappable },
    with: {
        "wasi:io/poll": wasmtime_wasi_io::bindings::wasi::io::poll,
        "wasi:io/streams": wasmtime_wasi_io::bindings::wasi::io::streams,
        "wasi:io/error": wasmtime_wasi_io::bindings::wasi::io::error,
        "wasi:clocks": wasmtime_wasi::p2::bindings::clocks,
        "wasi:sockets/network": wasmtime_wasi::p2::bindings::sockets::network,
        "wasi:sockets/tcp": wasmtime_wasi::p2::bindings::sockets::tcp,
        "wasi:sockets/ip-name-lookup.resolve-address-stream": super::super::dns::AddressStream,
    },
});
