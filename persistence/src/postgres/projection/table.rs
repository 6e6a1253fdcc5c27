//! How rows of a table are written: columns of values in, one statement out.
//!
//! Invariant: one statement writes any number of rows (`UNNEST` of one array per column, so there is no limit of parameters)
//! and names no id twice. An upsert leaves a row that is as new or newer alone: doing it again changes nothing. An insert is for
//! rows that are not there, and costs a third less; where one is there after all, it writes nothing and says so.

use std::fmt::Write as _;

use tokio_postgres::types::ToSql;

/// When a column of a row that is there takes the new value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// Never: it is fixed with the row.
    Once,
    /// Every time the row is newer.
    Newest,
    /// If it has none yet.
    First,
    /// Every time the row is newer, and also when it is derived again: it goes with the other columns.
    Always,
}

/// One column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    pub(super) name: &'static str,
    /// The type as it is sent.
    pub(super) sent: &'static str,
    pub(super) takes: Takes,
}

/// One table, as far as it is written.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) key: &'static str,
    pub(super) columns: &'static [Column],
}

/// Rows for one table, column by column.
pub(super) trait Rows {
    fn table(&self) -> &'static Table;
    fn len(&self) -> usize;
    /// One array per column.
    fn parameters(&self) -> Vec<&(dyn ToSql + Sync)>;
}

/// Which rows give way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guard {
    /// Older ones.
    Older,
    /// Every one, but what only the records know stays: versions of parts and instants. For deriving rows from states.
    Any,
}

impl Table {
    /// The statement that writes rows of this table that are not there yet.
    pub(super) fn insert(&self) -> String {
        let names: Vec<_> = self.columns.iter().map(|column| column.name).collect();
        let mut sql = format!("INSERT INTO {} AS t ({}) SELECT ", self.name, names.join(", "));
        for (index, column) in self.columns.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            // Documents travel as text. In the target list the arrays are walked in step; in FROM each would be written into a
            // store of its own first.
            let (sent, cast) = if column.sent == "jsonb" { ("text", "::jsonb") } else { (column.sent, "") };
            let _ = write!(sql, "{comma}UNNEST(${}::{sent}[]){cast}", index + 1);
        }
        sql
    }

    /// The statement that writes rows of this table, whether they are there or not.
    pub(super) fn upsert(&self, guard: Guard) -> String {
        let mut sql = self.insert();
        let _ = write!(sql, " ON CONFLICT ({}) DO ", self.key);
        let derived = |column: &&Column| {
            guard == Guard::Older
                || column.takes == Takes::Always
                || !matches!(column.name, "version" | "created_at" | "updated_at")
        };
        let mut set = self.columns.iter().filter(derived).filter_map(Column::set);
        match set.next() {
            None => sql.push_str("NOTHING"),
            Some(first) => {
                let _ = write!(sql, "UPDATE SET {first}");
                set.for_each(|next| sql.extend([", ", &next]));
                if guard == Guard::Older {
                    sql.push_str(" WHERE t.version < EXCLUDED.version");
                }
            }
        }
        sql
    }
}

impl Column {
    fn set(&self) -> Option<String> {
        let name = self.name;
        match self.takes {
            Takes::Once => None,
            Takes::Newest | Takes::Always => Some(format!("{name} = EXCLUDED.{name}")),
            Takes::First => Some(format!("{name} = COALESCE(t.{name}, EXCLUDED.{name})")),
        }
    }
}

/// Declares a table's row and its columns of values: `name: type as "sql type" Takes`.
macro_rules! table {
    ($(#[$doc:meta])* $rows:ident of $row:ident in $table:literal by $key:literal {
        $($column:ident: $type:ty as $sent:literal $takes:ident,)+
    }) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub(super) struct $rows {
            $($column: Vec<$type>,)+
        }

        #[doc = concat!("One row of `", $table, "`.")]
        #[derive(Debug)]
        pub(super) struct $row {
            $(pub(super) $column: $type,)+
        }

        impl $rows {
            pub(super) fn push(&mut self, row: $row) {
                $(self.$column.push(row.$column);)+
            }
        }

        impl Rows for $rows {
            fn table(&self) -> &'static Table {
                static TABLE: Table = Table {
                    name: $table,
                    key: $key,
                    columns: &[$(Column { name: stringify!($column), sent: $sent, takes: Takes::$takes },)+],
                };
                &TABLE
            }

            fn len(&self) -> usize {
                [$(self.$column.len(),)+][0]
            }

            fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
                vec![$(&self.$column,)+]
            }
        }
    };
}
pub(super) use table;
