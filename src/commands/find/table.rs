//! Objects in tables.

use super::report::{AssociationView, CodeView, DocumentView, ObjectRefView, PackageView};
use crate::model::time::Dtm;
use crate::terminal::{Align, Cell, Table, Tone};

/// Longest title in a table; `get` and JSON have all of it.
const MAX_TITLE: usize = 48;

fn cell(value: Option<&str>) -> Cell {
    value.unwrap_or_default().into()
}

pub(super) fn short(value: Option<&str>) -> Cell {
    let value = value.unwrap_or_default();
    match value.char_indices().nth(MAX_TITLE) {
        Some(_) => value.chars().take(MAX_TITLE - 1).chain(['…']).collect::<String>().into(),
        None => value.into(),
    }
}

/// A DTM as people read it: `2024-03-11 09:45`.
pub(in crate::commands) fn shown_time(dtm: &str) -> String {
    if Dtm::parse(dtm).is_err() {
        return dtm.to_owned();
    }
    let mut out = String::with_capacity(19);
    for (n, digit) in dtm.chars().enumerate() {
        match n {
            4 | 6 => out.push('-'),
            8 => out.push(' '),
            10 | 12 => out.push(':'),
            _ => {}
        }
        out.push(digit);
    }
    out
}

fn time_cell(value: Option<&str>) -> Cell {
    value.map(shown_time).unwrap_or_default().into()
}

fn status_cell(status: Option<&str>) -> Cell {
    let tone = if status == Some("Deprecated") { Tone::Faint } else { Tone::Plain };
    Cell::new(status.unwrap_or_default(), tone)
}

fn left<const N: usize>(heads: [&str; N]) -> Table {
    Table::new(&heads.map(|head| (head, Align::Left)))
}

pub(super) fn documents_table(documents: &[DocumentView]) -> Table {
    let mut table = left(["created", "title", "class", "type", "community", "repository", "uniqueId", "status"]);
    for document in documents {
        table.row([
            time_cell(document.creation_time.as_deref()),
            short(document.title.as_deref()),
            short(document.class_code.as_ref().map(CodeView::shown)),
            short(document.type_code.as_ref().map(CodeView::shown)),
            cell(document.home_community_id.as_deref()),
            cell(document.repository_unique_id.as_deref()),
            cell(document.unique_id.as_deref()),
            status_cell(document.status.as_deref()),
        ]);
    }
    table
}

pub(super) fn packages_table(packages: &[PackageView], when: &str) -> Table {
    let mut table = left([when, "title", "code", "community", "uniqueId", "entryUUID", "status"]);
    for package in packages {
        table.row([
            time_cell(package.time.as_deref()),
            short(package.title.as_deref()),
            short(package.codes.first().map(CodeView::shown)),
            cell(package.home_community_id.as_deref()),
            cell(package.unique_id.as_deref()),
            cell(package.entry_uuid.as_deref()),
            status_cell(package.status.as_deref()),
        ]);
    }
    table
}

pub(super) fn associations_table(associations: &[AssociationView]) -> Table {
    let mut table = left(["association", "source", "target", "community", "status"]);
    for association in associations {
        table.row([
            association.kind.as_str().into(),
            association.source.as_str().into(),
            association.target.as_str().into(),
            cell(association.home_community_id.as_deref()),
            status_cell(association.status.as_deref()),
        ]);
    }
    table
}

pub(super) fn references_table(references: &[ObjectRefView]) -> Table {
    let mut table = left(["entryUUID", "community"]);
    for reference in references {
        table.row([cell(reference.entry_uuid.as_deref()), cell(reference.home_community_id.as_deref())]);
    }
    table
}
