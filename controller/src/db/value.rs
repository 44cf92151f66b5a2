//! What may stand for a `$n` of a statement.

use jiff::Timestamp;
use provado_model::{id, state, time};

/// One bound parameter; `None` is NULL of that type. Booleans are 0 and 1, instants microseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A TEXT parameter.
    Text(Option<String>),
    /// An INTEGER (BIGINT) parameter.
    Int(Option<i64>),
    /// A BLOB (BYTEA) parameter.
    Bytes(Option<Vec<u8>>),
}

/// A type that has one way to stand in SQL.
pub trait ToValue {
    /// NULL of this type.
    const NULL: Value;

    /// The parameter.
    fn to_value(&self) -> Value;
}

/// A size or count as SQL holds it; what does not fit (over 8 EiB) becomes the largest number.
pub fn size(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

impl<T: ToValue> ToValue for Option<T> {
    const NULL: Value = T::NULL;

    fn to_value(&self) -> Value {
        self.as_ref().map_or(T::NULL, T::to_value)
    }
}

impl<T: ToValue + ?Sized> ToValue for &T {
    const NULL: Value = T::NULL;

    fn to_value(&self) -> Value {
        (*self).to_value()
    }
}

macro_rules! to_value {
    ($($type:ty => $variant:ident, |$this:ident| $convert:expr;)*) => {$(
        impl ToValue for $type {
            const NULL: Value = Value::$variant(None);

            fn to_value(&self) -> Value {
                let $this = self;
                Value::$variant(Some($convert))
            }
        }
    )*};
}

to_value! {
    str => Text, |this| this.to_owned();
    String => Text, |this| this.clone();
    i64 => Int, |this| *this;
    i32 => Int, |this| i64::from(*this);
    u32 => Int, |this| i64::from(*this);
    u64 => Int, |this| size(*this);
    bool => Int, |this| i64::from(*this);
    Timestamp => Int, |this| time::to_micros(*this);
    [u8] => Bytes, |this| this.to_vec();
    Vec<u8> => Bytes, |this| this.clone();
}

macro_rules! text_values {
    ($($type:ty),* $(,)?) => {$(
        impl ToValue for $type {
            const NULL: Value = Value::Text(None);

            fn to_value(&self) -> Value {
                Value::Text(Some(self.to_string()))
            }
        }
    )*};
}

text_values! {
    id::AgentId, id::InstanceId, id::DatabaseId, id::RepositoryId, id::RunId, id::AttemptId,
    id::BackupId, id::PackId, id::ProofId, id::RequestId, id::JoinTokenId, id::CallerId,
    id::ControllerId, id::IncidentId,
    state::RunKind, state::RunState, state::AttemptState, state::BackupCheck, state::BackupKeep,
    state::Role,
}

/// The parameters of a statement, in order: `&values![id, state, now]`.
macro_rules! values {
    ($($value:expr),* $(,)?) => {
        [$($crate::db::ToValue::to_value(&$value)),*]
    };
}
pub(crate) use values;
