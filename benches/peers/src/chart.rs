//! Lines over a logarithmic axis, as SVG: the same look for every plot.

use std::{ops::Range, path::Path};

use anyhow::{Context as _, anyhow};
use plotters::{
    chart::{ChartBuilder, SeriesLabelPosition},
    coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter},
    element::{Circle, PathElement},
    prelude::{IntoDrawingArea as _, IntoLogRange as _, SVGBackend},
    series::LineSeries,
    style::{BLACK, Color as _, RGBColor, WHITE},
};

/// One line of a plot.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    pub(crate) name: String,
    /// From left to right.
    pub(crate) points: Vec<(f64, f64)>,
}

/// What a plot says beside its lines.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chart {
    pub(crate) title: &'static str,
    pub(crate) x: &'static str,
    pub(crate) y: &'static str,
    /// Whether the vertical axis is logarithmic; the horizontal one always is.
    pub(crate) log_y: bool,
    /// Where no line runs: the names of the lines go there.
    pub(crate) legend: Legend,
}

/// A corner of a plot.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Legend {
    /// Of what rises late.
    UpperLeft,
    /// Of what rises early.
    LowerRight,
}

/// Told apart by those who do not see colors well, too (Okabe and Ito).
const COLORS: [RGBColor; 7] = [
    RGBColor(0, 0, 0),
    RGBColor(213, 94, 0),
    RGBColor(0, 114, 178),
    RGBColor(86, 180, 233),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
];

/// Width and height, in pixels.
const SIZE: (u32, u32) = (880, 520);

impl Series {
    /// A line without points yet.
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), points: Vec::new() }
    }
}

impl Chart {
    /// Draws `all` into the file at `path`.
    pub(crate) fn draw(self, path: &Path, all: &[Series]) -> anyhow::Result<()> {
        let mut svg = String::new();
        let y = range(all.iter().flat_map(|series| &series.points).map(|(_, y)| *y));
        if self.log_y {
            self.paint(&mut svg, (y.start / 1.3..y.end * 1.3).log_scale(), all)?;
        } else {
            self.paint(&mut svg, 0.0..y.end * 1.3, all)?;
        }
        // One element a line: a later run is a readable difference.
        std::fs::write(path, svg).with_context(|| format!("cannot write {}", path.display()))
    }

    fn paint<Y>(self, svg: &mut String, y: Y, all: &[Series]) -> anyhow::Result<()>
    where
        Y: AsRangedCoord<Value = f64>,
        Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let x = range(all.iter().flat_map(|series| &series.points).map(|(x, _)| *x));
        let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
        let fault = |error: String| anyhow!("cannot draw {:?}: {error}", self.title);
        area.fill(&WHITE).map_err(|error| fault(error.to_string()))?;
        let mut chart = ChartBuilder::on(&area)
            .caption(self.title, ("sans-serif", 20))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(72)
            .build_cartesian_2d((x.start / 1.1..x.end * 1.1).log_scale(), y)
            .map_err(|error| fault(error.to_string()))?;
        let mut mesh = chart.configure_mesh();
        mesh.x_desc(self.x).y_desc(self.y).x_label_formatter(&label).y_label_formatter(&label);
        mesh.draw().map_err(|error| fault(error.to_string()))?;
        for (series, color) in all.iter().zip(COLORS.iter().cycle()) {
            let line = LineSeries::new(series.points.iter().copied(), color.stroke_width(2));
            let drawn = chart.draw_series(line).map_err(|error| fault(error.to_string()))?;
            drawn.label(&series.name).legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
            let dots = series.points.iter().map(|point| Circle::new(*point, 3, color.filled()));
            chart.draw_series(dots).map_err(|error| fault(error.to_string()))?;
        }
        let mut legend = chart.configure_series_labels();
        legend.position(match self.legend {
            Legend::UpperLeft => SeriesLabelPosition::UpperLeft,
            Legend::LowerRight => SeriesLabelPosition::LowerRight,
        });
        legend.background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.3));
        legend.draw().map_err(|error| fault(error.to_string()))?;
        area.present().map_err(|error| fault(error.to_string()))
    }
}

/// From the smallest to the largest value above nothing.
fn range(values: impl Iterator<Item = f64>) -> Range<f64> {
    let above = values.filter(|value| *value > 0.0);
    let (least, most) = above.fold((f64::MAX, f64::MIN), |(least, most), value| (least.min(value), most.max(value)));
    if least <= most { least..most } else { 1.0..10.0 }
}

/// A number with as few digits as tell it.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form the library calls")]
fn label(value: &f64) -> String {
    match value {
        value if *value >= 1e6 => format!("{} M", value / 1e6),
        value if *value >= 1e3 => format!("{} k", value / 1e3),
        value => format!("{value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_names_its_lines_and_its_axes() {
        let chart = Chart { title: "Speed", x: "connections", y: "per second", log_y: true, legend: Legend::UpperLeft };
        let series = Series { name: "ours".to_owned(), points: vec![(1.0, 10.0), (64.0, 5_000.0)] };
        let mut svg = String::new();
        chart.paint(&mut svg, (1.0..10_000.0).log_scale(), &[series]).unwrap();
        for text in ["Speed", "connections", "per second", "ours"] {
            assert!(svg.contains(text), "{text} is not in the plot");
        }
    }

    #[test]
    fn large_numbers_are_told_in_thousands_and_millions() {
        assert_eq!([0.5, 64.0, 2e3, 1e6].map(|value| label(&value)), ["0.5", "64", "2 k", "1 M"]);
    }
}
