//! A source file as the names that it uses, each with its line. Pure: it is given text.
//!
//! Read by `syn`, so that comments, documentation and string literals hold no names. What exists for tests only
//! (`#[cfg(test)]`, `#[test]`) is left out, wherever it stands.

use proc_macro2::{Spacing, TokenStream, TokenTree};
use quote::ToTokens;
use syn::visit_mut::{self, VisitMut};
use syn::{Attribute, ImplItem, Item, Meta, Stmt, TraitItem, UseTree};

/// A path as it stands in the source: `a::b::c`, or one identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    pub segments: Vec<String>,
    /// Line of its first segment, from 1.
    pub line: usize,
    /// What stands around it.
    pub form: Form,
}

/// What stands around a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `name!`
    Macro,
    /// `.name`
    Member,
    /// Brought in by `use`.
    Import,
    /// Anything else.
    Plain,
}

/// One file.
#[derive(Debug)]
pub struct Source {
    /// Path from the workspace root, with `/`.
    pub path: String,
    pub names: Vec<Name>,
    /// Whether the file says `#![forbid(unsafe_code)]`.
    pub forbids_unsafe: bool,
    /// Where the modules lie that this file declares for tests only: paths without `.rs`.
    pub test_modules: Vec<String>,
}

impl Source {
    /// # Errors
    /// Text that is no Rust, with its place.
    pub fn read(path: &str, text: &str) -> Result<Self, String> {
        let mut file =
            syn::parse_file(text).map_err(|fault| format!("{path}:{}: {fault}", fault.span().start().line))?;
        let forbids_unsafe =
            file.attrs.iter().any(|attribute| attribute.to_token_stream().to_string().contains("forbid (unsafe_code"));
        let mut product = Product { folder: children_of(path), ..Product::default() };
        product.visit_file_mut(&mut file);
        let mut names = product.imports;
        collect(file.into_token_stream(), &mut names);
        names.sort_by_key(|name| name.line);
        Ok(Self { path: path.to_owned(), names, forbids_unsafe, test_modules: product.test_modules })
    }

    /// The file's place in its crate, below `folder/src`: `["invoke", "stage"]`. `lib.rs` and `main.rs` are at the top.
    pub fn module(&self, folder: &str) -> Vec<String> {
        let inside = self.path.strip_prefix(folder).unwrap_or(&self.path).trim_start_matches('/');
        let inside = inside.strip_prefix("src/").unwrap_or(inside).trim_end_matches(".rs");
        inside.split('/').filter(|part| !["mod", "lib", "main"].contains(part)).map(String::from).collect()
    }
}

/// Where the modules of the file at `path` lie: beside `mod.rs`, `lib.rs` and `main.rs`, else in a folder of its name.
fn children_of(path: &str) -> String {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    match file.trim_end_matches(".rs") {
        "mod" | "lib" | "main" => folder.to_owned(),
        stem => format!("{folder}/{stem}"),
    }
}

/// Takes what is for tests only out of a file, and its `use` declarations apart.
#[derive(Default)]
struct Product {
    folder: String,
    imports: Vec<Name>,
    test_modules: Vec<String>,
}

impl Product {
    fn keeps_item(&mut self, item: &Item) -> bool {
        let keeps = !for_tests(attributes_of(item));
        match item {
            Item::Mod(module) if !keeps && module.content.is_none() => {
                self.test_modules.push(format!("{}/{}", self.folder, module.ident));
            }
            Item::Use(import) if keeps => flatten(&import.tree, &mut Vec::new(), &mut self.imports),
            _ => {}
        }
        keeps && !matches!(item, Item::Use(_))
    }
}

impl VisitMut for Product {
    fn visit_file_mut(&mut self, file: &mut syn::File) {
        file.items.retain(|item| self.keeps_item(item));
        visit_mut::visit_file_mut(self, file);
    }

    fn visit_item_mod_mut(&mut self, module: &mut syn::ItemMod) {
        if let Some((_, items)) = &mut module.content {
            items.retain(|item| self.keeps_item(item));
        }
        visit_mut::visit_item_mod_mut(self, module);
    }

    fn visit_block_mut(&mut self, block: &mut syn::Block) {
        block.stmts.retain(|statement| match statement {
            Stmt::Item(item) => self.keeps_item(item),
            Stmt::Local(local) => !for_tests(&local.attrs),
            Stmt::Macro(call) => !for_tests(&call.attrs),
            Stmt::Expr(..) => true,
        });
        visit_mut::visit_block_mut(self, block);
    }

    fn visit_item_impl_mut(&mut self, block: &mut syn::ItemImpl) {
        block.items.retain(|item| {
            !for_tests(match item {
                ImplItem::Fn(item) => &item.attrs,
                ImplItem::Const(item) => &item.attrs,
                ImplItem::Type(item) => &item.attrs,
                _ => &[],
            })
        });
        visit_mut::visit_item_impl_mut(self, block);
    }

    fn visit_item_trait_mut(&mut self, block: &mut syn::ItemTrait) {
        block.items.retain(|item| !matches!(item, TraitItem::Fn(item) if for_tests(&item.attrs)));
        visit_mut::visit_item_trait_mut(self, block);
    }
}

fn attributes_of(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Whether attributes leave something out of every build but that of tests.
fn for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg")
                && matches!(&attribute.meta, Meta::List(list) if needs_test(list.tokens.clone()))
    })
}

/// Whether a predicate is `test`, or `all(...)` with such a part.
fn needs_test(predicate: TokenStream) -> bool {
    let tokens: Vec<_> = predicate.into_iter().collect();
    match tokens.as_slice() {
        [TokenTree::Ident(word)] => word == "test",
        [TokenTree::Ident(word), TokenTree::Group(parts)] if word == "all" => {
            let parts: Vec<_> = parts.stream().into_iter().collect();
            let mut parts = parts.split(|token| matches!(token, TokenTree::Punct(comma) if comma.as_char() == ','));
            parts.any(|part| needs_test(part.iter().cloned().collect()))
        }
        _ => false,
    }
}

/// Every full path of a `use` tree.
fn flatten(tree: &UseTree, before: &mut Vec<syn::Ident>, found: &mut Vec<Name>) {
    let mut end = |last: Option<&syn::Ident>| {
        let path = || before.iter().chain(last);
        if let Some(first) = path().next() {
            // The last segment's line is where people look for a name in a long list.
            let line = path().last().unwrap_or(first).span().start().line;
            found.push(Name { segments: path().map(plain).collect(), line, form: Form::Import });
        }
    };
    match tree {
        UseTree::Path(path) => {
            before.push(path.ident.clone());
            flatten(&path.tree, before, found);
            before.pop();
        }
        UseTree::Name(name) => end(Some(&name.ident)),
        UseTree::Rename(rename) => end(Some(&rename.ident)),
        UseTree::Glob(_) => end(None),
        UseTree::Group(group) => group.items.iter().for_each(|tree| flatten(tree, before, found)),
    }
}

/// An identifier without `r#`.
fn plain(ident: &proc_macro2::Ident) -> String {
    ident.to_string().trim_start_matches("r#").to_owned()
}

/// The names of a token stream, those in groups and macro calls too.
fn collect(stream: TokenStream, names: &mut Vec<Name>) {
    let tokens: Vec<_> = stream.into_iter().collect();
    let is =
        |at: usize, wanted: char| matches!(tokens.get(at), Some(TokenTree::Punct(mark)) if mark.as_char() == wanted);
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at] {
            TokenTree::Group(group) => collect(group.stream(), names),
            TokenTree::Ident(first) => {
                let member = at > 0 && is(at - 1, '.') && !(at > 1 && is(at - 2, '.'));
                let line = first.span().start().line;
                let mut segments = vec![plain(first)];
                while is(at + 1, ':')
                    && is(at + 2, ':')
                    && let Some(TokenTree::Ident(next)) = tokens.get(at + 3)
                {
                    segments.push(plain(next));
                    at += 3;
                }
                let bang = matches!(tokens.get(at + 1), Some(TokenTree::Punct(mark)) if mark.as_char() == '!' && (mark.spacing() == Spacing::Alone || !is(at + 2, '=')));
                let form = if bang {
                    Form::Macro
                } else if member {
                    Form::Member
                } else {
                    Form::Plain
                };
                names.push(Name { segments, line, form });
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<(String, usize, Form)> {
        let source = Source::read("src/a.rs", text).unwrap();
        source.names.into_iter().map(|name| (name.segments.join("::"), name.line, name.form)).collect()
    }

    #[test]
    fn comments_and_strings_hold_no_names() {
        let text = "//! Instant\n/// Instant\nconst A: &str = \"Instant\"; // Instant\n";
        assert!(names(text).iter().all(|(name, ..)| name != "Instant"), "{:?}", names(text));
    }

    #[test]
    fn paths_macros_members_and_imports_are_told_apart() {
        let found = names("use std::{env, time::{Instant as I, self}};\nfn f() {\n  b::c!(x.y);\n  a != b;\n}\n");
        let has = |name: &str, line, form| assert!(found.contains(&(name.into(), line, form)), "{name} in {found:?}");
        has("std::env", 1, Form::Import);
        has("std::time::Instant", 1, Form::Import);
        has("b::c", 3, Form::Macro);
        has("y", 3, Form::Member);
        has("a", 4, Form::Plain);
    }

    #[test]
    fn what_is_for_tests_is_left_out() {
        let text = "#[cfg(all(test, unix))]\nmod tests;\n#[cfg(test)]\nuse gone::A;\n#[cfg(not(test))]\nfn kept() {}\n\
             impl X {\n  #[cfg(test)]\n  fn gone() {}\n}\nfn f() { #[cfg(test)] let gone = 1; { #[cfg(test)] fn gone() {} } }\n";
        let source = Source::read("src/b/mod.rs", text).unwrap();
        assert!(source.names.iter().all(|name| !name.segments.contains(&"gone".to_owned())), "{:?}", source.names);
        assert!(source.names.iter().any(|name| name.segments == ["kept"]));
        assert_eq!(source.test_modules, ["src/b/tests"]);
        assert_eq!(Source::read("src/b.rs", "#[cfg(test)] mod t;").unwrap().test_modules, ["src/b/t"]);
    }

    #[test]
    fn a_file_knows_its_module() {
        let module = |path: &str, folder| Source::read(path, "").unwrap().module(folder);
        assert_eq!(module("src/invoke/stage.rs", ""), ["invoke", "stage"]);
        assert_eq!(module("src/invoke/mod.rs", ""), ["invoke"]);
        assert_eq!(module("ring/src/lib.rs", "ring"), [""; 0]);
    }

    #[test]
    fn text_that_is_no_rust_is_a_problem_with_its_place() {
        assert!(Source::read("src/a.rs", "\nfn f( {").unwrap_err().starts_with("src/a.rs:2: "));
    }
}
