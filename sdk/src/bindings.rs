//! Everything that is generated from `wit/v1.0`, and the only place where `unsafe` and missing documentation are allowed.
//! Three small worlds instead of one for each kind of plug-in, so that `plugin` is exported by the same code in both kinds;
//! the linker unites them, and drops the imports that a component does not use.

#![allow(unsafe_code, missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]

/// What every plug-in may call.
pub mod imports {
    wit_bindgen::generate!({
        path: "../wit/v1.0",
        inline: "
            package cofre:sdk-imports;
            world calls {
                include cofre:plugin/imports@1.0.0;
                import cofre:plugin/types@1.0.0;
                import wasi:filesystem/types@0.2.12;
                import wasi:filesystem/preopens@0.2.12;
            }
        ",
        world: "cofre:sdk-imports/calls",
        generate_all,
    });
}

/// Self-description.
pub mod describing {
    wit_bindgen::generate!({
        path: "../wit/v1.0",
        inline: "
            package cofre:sdk-describing;
            world describes { export cofre:plugin/plugin@1.0.0; }
        ",
        world: "cofre:sdk-describing/describes",
        pub_export_macro: true,
    });
}

/// A place for objects.
pub mod storing {
    wit_bindgen::generate!({
        path: "../wit/v1.0",
        inline: "
            package cofre:sdk-storing;
            world stores { export cofre:plugin/destination@1.0.0; }
        ",
        world: "cofre:sdk-storing/stores",
        with: {
            "cofre:plugin/types@1.0.0": crate::bindings::imports::cofre::plugin::types,
            "wasi:io/error@0.2.12": crate::bindings::imports::wasi::io::error,
            "wasi:io/poll@0.2.12": crate::bindings::imports::wasi::io::poll,
            "wasi:io/streams@0.2.12": crate::bindings::imports::wasi::io::streams,
        },
        pub_export_macro: true,
    });
}

/// A way to tell people.
pub mod notifying {
    wit_bindgen::generate!({
        path: "../wit/v1.0",
        inline: "
            package cofre:sdk-notifying;
            world notifies { export cofre:plugin/notifier@1.0.0; }
        ",
        world: "cofre:sdk-notifying/notifies",
        with: {
            "cofre:plugin/types@1.0.0": crate::bindings::imports::cofre::plugin::types,
            "wasi:io/error@0.2.12": crate::bindings::imports::wasi::io::error,
            "wasi:io/poll@0.2.12": crate::bindings::imports::wasi::io::poll,
            "wasi:io/streams@0.2.12": crate::bindings::imports::wasi::io::streams,
        },
        pub_export_macro: true,
    });
}
