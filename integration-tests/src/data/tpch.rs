//! TPC-H tables (TPC Benchmark H, revision 3), made by the `tpchgen` crate. Scale factor 1 is
//! about 1 GB.

use crate::harness::Postgres;
use anyhow::Result;
use std::fmt::Display;
use std::io::Write;
use tpchgen::csv::{
    CustomerCsv, LineItemCsv, NationCsv, OrderCsv, PartCsv, PartSuppCsv, RegionCsv, SupplierCsv,
};
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator,
    PartSuppGenerator, RegionGenerator, SupplierGenerator,
};

/// The eight tables, without keys: those come after the data, as in a real load.
const TABLES: &str = "
CREATE TABLE region (r_regionkey int NOT NULL, r_name text NOT NULL, r_comment text);
CREATE TABLE nation (n_nationkey int NOT NULL, n_name text NOT NULL, n_regionkey int NOT NULL,
  n_comment text);
CREATE TABLE part (p_partkey bigint NOT NULL, p_name text NOT NULL, p_mfgr text NOT NULL,
  p_brand text NOT NULL, p_type text NOT NULL, p_size int NOT NULL, p_container text NOT NULL,
  p_retailprice numeric(15,2) NOT NULL, p_comment text NOT NULL);
CREATE TABLE supplier (s_suppkey bigint NOT NULL, s_name text NOT NULL, s_address text NOT NULL,
  s_nationkey int NOT NULL, s_phone text NOT NULL, s_acctbal numeric(15,2) NOT NULL,
  s_comment text NOT NULL);
CREATE TABLE partsupp (ps_partkey bigint NOT NULL, ps_suppkey bigint NOT NULL,
  ps_availqty int NOT NULL, ps_supplycost numeric(15,2) NOT NULL, ps_comment text NOT NULL);
CREATE TABLE customer (c_custkey bigint NOT NULL, c_name text NOT NULL, c_address text NOT NULL,
  c_nationkey int NOT NULL, c_phone text NOT NULL, c_acctbal numeric(15,2) NOT NULL,
  c_mktsegment text NOT NULL, c_comment text NOT NULL);
CREATE TABLE orders (o_orderkey bigint NOT NULL, o_custkey bigint NOT NULL,
  o_orderstatus text NOT NULL, o_totalprice numeric(15,2) NOT NULL, o_orderdate date NOT NULL,
  o_orderpriority text NOT NULL, o_clerk text NOT NULL, o_shippriority int NOT NULL,
  o_comment text NOT NULL);
CREATE TABLE lineitem (l_orderkey bigint NOT NULL, l_partkey bigint NOT NULL,
  l_suppkey bigint NOT NULL, l_linenumber int NOT NULL, l_quantity numeric(15,2) NOT NULL,
  l_extendedprice numeric(15,2) NOT NULL, l_discount numeric(15,2) NOT NULL,
  l_tax numeric(15,2) NOT NULL, l_returnflag text NOT NULL, l_linestatus text NOT NULL,
  l_shipdate date NOT NULL, l_commitdate date NOT NULL, l_receiptdate date NOT NULL,
  l_shipinstruct text NOT NULL, l_shipmode text NOT NULL, l_comment text NOT NULL);
";

const KEYS: &str = "
ALTER TABLE region ADD PRIMARY KEY (r_regionkey);
ALTER TABLE nation ADD PRIMARY KEY (n_nationkey);
ALTER TABLE part ADD PRIMARY KEY (p_partkey);
ALTER TABLE supplier ADD PRIMARY KEY (s_suppkey);
CREATE INDEX partsupp_by_part ON partsupp (ps_partkey, ps_suppkey);
ALTER TABLE customer ADD PRIMARY KEY (c_custkey);
ALTER TABLE orders ADD PRIMARY KEY (o_orderkey);
ALTER TABLE lineitem ADD PRIMARY KEY (l_orderkey, l_linenumber);
ALTER TABLE nation ADD FOREIGN KEY (n_regionkey) REFERENCES region;
ALTER TABLE orders ADD FOREIGN KEY (o_custkey) REFERENCES customer;
CREATE INDEX orders_by_customer ON orders (o_custkey);
";

/// Makes and fills the tables in a database that exists.
pub fn load(server: &Postgres, database: &str, scale_factor: f64) -> Result<()> {
    server.sql(database, TABLES)?;
    let f = scale_factor;
    let load = |table: &str, fill: &mut dyn FnMut(&mut dyn Write) -> std::io::Result<()>| {
        let command = format!("COPY {table} FROM STDIN (FORMAT csv)");
        server.copy_in(database, &command, |out| fill(out))
    };
    load("region", &mut |out| {
        rows(
            out,
            RegionGenerator::new(f, 1, 1).iter().map(RegionCsv::new),
        )
    })?;
    load("nation", &mut |out| {
        rows(
            out,
            NationGenerator::new(f, 1, 1).iter().map(NationCsv::new),
        )
    })?;
    load("part", &mut |out| {
        rows(out, PartGenerator::new(f, 1, 1).iter().map(PartCsv::new))
    })?;
    load("supplier", &mut |out| {
        rows(
            out,
            SupplierGenerator::new(f, 1, 1).iter().map(SupplierCsv::new),
        )
    })?;
    load("partsupp", &mut |out| {
        rows(
            out,
            PartSuppGenerator::new(f, 1, 1).iter().map(PartSuppCsv::new),
        )
    })?;
    load("customer", &mut |out| {
        rows(
            out,
            CustomerGenerator::new(f, 1, 1).iter().map(CustomerCsv::new),
        )
    })?;
    load("orders", &mut |out| {
        rows(out, OrderGenerator::new(f, 1, 1).iter().map(OrderCsv::new))
    })?;
    load("lineitem", &mut |out| {
        rows(
            out,
            LineItemGenerator::new(f, 1, 1).iter().map(LineItemCsv::new),
        )
    })?;
    server.sql(database, KEYS)?;
    server.sql(database, "VACUUM ANALYZE").map(drop)
}

fn rows<T: Display>(out: &mut dyn Write, rows: impl Iterator<Item = T>) -> std::io::Result<()> {
    for row in rows {
        writeln!(out, "{row}")?;
    }
    Ok(())
}
