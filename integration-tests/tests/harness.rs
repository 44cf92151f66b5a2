//! The harness itself: servers of every major version start, take the data and leave nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use provado_integration_tests::data::{hostile, shop, tpch};
use provado_integration_tests::harness::{Major, Place, Postgres};

#[test]
fn every_major_version_starts_and_takes_the_data() {
    for major in Major::ALL {
        let place = Place::new().unwrap();
        let server = Postgres::start(&place, "a", *major).unwrap();
        server.sql("postgres", "CREATE DATABASE shop").unwrap();
        shop::load(&server, "shop", 100).unwrap();
        tpch::load(&server, "shop", 0.001).unwrap();
        assert_eq!(
            server.sql("shop", "SELECT count(*) FROM lineitem").unwrap(),
            "6005"
        );
        assert_eq!(
            server
                .sql("shop", "SELECT count(*) FROM shop.event")
                .unwrap(),
            "400"
        );
        for name in hostile::NAMES {
            let quoted = hostile::quote(name);
            server
                .sql("postgres", &format!("CREATE DATABASE {quoted}"))
                .unwrap();
            assert_eq!(
                server.sql(name, "SELECT current_database()").unwrap(),
                *name
            );
        }
        let path = place.path().to_owned();
        drop(server);
        drop(place);
        assert!(!path.exists());
    }
}
