//! Percentile plots as SVG, written by hand: the axis of percentiles is logarithmic towards 100 %, so that a tail can be read.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::cannot;
use super::record::{Curve, Results};
use crate::commands::Failure;

const WIDTH: f64 = 1040.0;
const HEIGHT: f64 = 540.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 330.0;
const TOP: f64 = 64.0;
const BOTTOM: f64 = 64.0;

/// Nines shown at most: 5 is 99.999 %.
const NINES_MAX: f64 = 5.0;
/// Points of a curve.
const POINTS: u32 = 240;
/// Told apart also by those who do not see red and green as different.
const COLORS: [&str; 8] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#e69f00", "#56b4e9", "#8c564b"];
const DASHES: [&str; 2] = ["none", "7 4"];

/// One file for each latency of each suite; returns their paths.
pub fn write_all(dir: &Path, machine: &str, results: &Results) -> Result<Vec<PathBuf>, Failure> {
    std::fs::create_dir_all(dir).map_err(cannot("create folder", dir))?;
    let mut written = Vec::new();
    for first in &results.curves {
        let path = dir.join(format!("{}-{}.svg", first.suite, slug(&first.name)));
        if written.contains(&path) {
            continue;
        }
        let same = |curve: &&Curve| curve.suite == first.suite && curve.name == first.name;
        let curves: Vec<&Curve> =
            results.curves.iter().filter(same).filter(|curve| !curve.histogram.is_empty()).collect();
        if curves.is_empty() {
            continue;
        }
        let text = plot(&format!("{}: {}", first.suite, first.name), machine, &curves);
        std::fs::write(&path, text).map_err(cannot("write", &path))?;
        written.push(path);
    }
    Ok(written)
}

fn slug(name: &str) -> String {
    let mut slug = String::new();
    for letter in name.chars() {
        if letter.is_ascii_alphanumeric() {
            slug.push(letter.to_ascii_lowercase());
        } else if !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.trim_matches('-').to_owned()
}

/// Where values lie on the picture.
struct Axes {
    nines: f64,
    low: f64,
    high: f64,
}

impl Axes {
    fn of(curves: &[&Curve]) -> Self {
        let most = curves.iter().map(|curve| nines_of(curve)).fold(1.0, f64::max);
        let low = curves.iter().map(|curve| curve.histogram.min().max(1)).min().unwrap_or(1);
        let at_end = |curve: &&&Curve| curve.histogram.value_at_quantile(1.0 - 10_f64.powf(-nines_of(curve)));
        let high = curves.iter().map(|curve| at_end(&curve)).max().unwrap_or(10).max(low + 1);
        let (low, high) = (step_below(low as f64), step_above(high as f64));
        Self { nines: most, low: low.log10(), high: high.log10() }
    }

    fn x(&self, nines: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * nines / self.nines
    }

    fn y(&self, ns: f64) -> f64 {
        let share = (ns.max(1.0).log10() - self.low) / (self.high - self.low);
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share.clamp(0.0, 1.0)
    }
}

/// How many nines a histogram of so many values can tell of.
fn nines_of(curve: &Curve) -> f64 {
    (curve.histogram.len() as f64).log10().clamp(1.0, NINES_MAX)
}

/// The steps of the axis of latencies.
fn steps() -> impl Iterator<Item = f64> {
    (0..11).flat_map(|decade| [1.0, 2.0, 5.0].map(|step| step * 10_f64.powi(decade)))
}

fn step_below(value: f64) -> f64 {
    steps().take_while(|&step| step <= value).last().unwrap_or(1.0)
}

fn step_above(value: f64) -> f64 {
    steps().find(|&step| step >= value).unwrap_or(value)
}

fn duration(ns: f64) -> String {
    match ns {
        ns if ns >= 1e9 => format!("{} s", ns / 1e9),
        ns if ns >= 1e6 => format!("{} ms", ns / 1e6),
        ns if ns >= 1e3 => format!("{} µs", ns / 1e3),
        ns => format!("{ns} ns"),
    }
}

fn plot(title: &str, machine: &str, curves: &[&Curve]) -> String {
    let axes = Axes::of(curves);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    text(&mut svg, (LEFT, 26.0), "start", "font-size=\"18\"", title);
    text(&mut svg, (LEFT, 46.0), "start", "fill=\"#555\"", machine);
    grid(&mut svg, &axes);
    for (index, curve) in curves.iter().enumerate() {
        draw(&mut svg, &axes, curve, index);
    }
    svg.push_str("</svg>\n");
    svg
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, style: &str, what: &str) {
    let escaped = what.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" {style}>{escaped}</text>");
}

fn line(svg: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64), style: &str) {
    let _ = writeln!(svg, "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" {style}/>");
}

fn grid(svg: &mut String, axes: &Axes) {
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    let nines = ["0 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %"];
    for (at, label) in (0_u32..).map(f64::from).zip(nines).take_while(|(at, _)| *at <= axes.nines) {
        let x = axes.x(at);
        line(svg, (x, TOP), (x, bottom), "stroke=\"#ccc\"");
        text(svg, (x, bottom + 20.0), "middle", "", label);
    }
    // Half of the values lie left of this.
    let half = axes.x(2_f64.log10());
    line(svg, (half, TOP), (half, bottom), "stroke=\"#ccc\" stroke-dasharray=\"2 4\"");
    text(svg, (half, bottom + 20.0), "middle", "", "50 %");
    for ns in steps().filter(|ns| (axes.low - 1e-9..=axes.high + 1e-9).contains(&ns.log10())) {
        let y = axes.y(ns);
        line(svg, (LEFT, y), (right, y), "stroke=\"#ddd\"");
        text(svg, (LEFT - 8.0, y + 4.0), "end", "", &duration(ns));
    }
    line(svg, (LEFT, bottom), (right, bottom), "stroke=\"black\"");
    line(svg, (LEFT, TOP), (LEFT, bottom), "stroke=\"black\"");
    text(svg, (f64::midpoint(LEFT, right), HEIGHT - 16.0), "middle", "", "percentile (all repetitions together)");
}

fn draw(svg: &mut String, axes: &Axes, curve: &Curve, index: usize) {
    let (color, dash) = (COLORS[index % COLORS.len()], DASHES[index / COLORS.len() % DASHES.len()]);
    let end = nines_of(curve);
    let mut points = String::new();
    for point in 0..=POINTS {
        let nines = end * f64::from(point) / f64::from(POINTS);
        let ns = curve.histogram.value_at_quantile(1.0 - 10_f64.powf(-nines));
        let _ = write!(points, "{:.1},{:.1} ", axes.x(nines), axes.y(ns as f64));
    }
    let style = format!("stroke=\"{color}\" stroke-width=\"2\" stroke-dasharray=\"{dash}\"");
    let _ = writeln!(svg, "<polyline fill=\"none\" {style} points=\"{}\"/>", points.trim_end());
    let (x, y) = (WIDTH - RIGHT + 16.0, TOP + 12.0 + 22.0 * index as f64);
    line(svg, (x, y - 4.0), (x + 24.0, y - 4.0), &style);
    text(svg, (x + 32.0, y), "start", "", &curve.case);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_lies_within_its_axes_and_names_are_escaped() {
        let mut histogram = super::super::clock::histogram();
        (1..=100_000_u64).for_each(|ns| histogram.saturating_record(ns.min(90_000)));
        let curve = Curve { suite: "hop", case: "a<b".to_owned(), name: "RTT/2 64 B".to_owned(), histogram };
        assert_eq!(slug(&curve.name), "rtt-2-64-b");
        let axes = Axes::of(&[&curve]);
        assert_eq!((axes.x(0.0), axes.x(5.0)), (LEFT, WIDTH - RIGHT));
        assert_eq!((axes.y(1.0), axes.y(100_000.0)), (HEIGHT - BOTTOM, TOP));
        let svg = plot("t", "m", &[&curve]);
        assert!(svg.contains("a&lt;b") && svg.contains("99.999 %") && svg.contains("100 µs"));
    }
}
