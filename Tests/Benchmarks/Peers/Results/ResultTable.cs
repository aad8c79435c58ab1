using System.Globalization;
using System.Text;

namespace OrleansMq.Tests.Benchmarks.Peers.Results;

/// <summary>Results as Markdown: a table for each comparison, with medians, and the median of the pairs' ratios with the lowest and the
/// highest.</summary>
internal static class ResultTable
{
    public static string Write(IEnumerable<ComparisonResult> results)
    {
        var text = new StringBuilder();
        foreach (var result in results)
            Write(text, result);
        return text.ToString();
    }

    private static void Write(StringBuilder text, ComparisonResult result)
    {
        var comparison = result.Comparison;
        text.Append(CultureInfo.InvariantCulture,
            $"### {comparison.Name}: {comparison.Ours.Broker.Name} and {comparison.Theirs.Broker.Name}\n\n{comparison.About}\n");
        text.Append(CultureInfo.InvariantCulture, $"Medians of {result.Pairs.Count} pair{(result.Pairs.Count == 1 ? "" : "s")}, run in "
            + $"turns; the ratio is the median of the pairs' own, with the lowest and the highest.\n\n");
        if (result.Pairs.Count > 0)
        {
            var figures = result.Figures();
            text.Append("| | | ").AppendJoin(" | ", figures.Select(figure => figure.Heading)).Append(" |\n|---|---|")
                .Insert(text.Length, "---|", figures.Count).Append('\n');
            foreach (var step in result.Steps)
            {
                Row(text, step, comparison.Ours.Broker.Name, figures, figure => Median(result.Ours(step, figure), figure.Format));
                Row(text, "", comparison.Theirs.Broker.Name, figures, figure => Median(result.Theirs(step, figure), figure.Format));
                Row(text, "", "**ratio**", figures, figure => Ratio(result.Ratios(step, figure)));
            }
            text.Append('\n');
        }
        foreach (var failure in result.Failures)
            text.Append("- ").Append(failure).Append('\n');
        if (result.Failures.Count > 0)
            text.Append('\n');
    }

    private static void Row(StringBuilder text, string step, string who, IReadOnlyList<Figure> figures, Func<Figure, string> cell) =>
        text.Append(CultureInfo.InvariantCulture, $"| {step} | {who} | ").AppendJoin(" | ", figures.Select(cell)).Append(" |\n");

    private static string Median(IReadOnlyList<double> values, string format) =>
        values.Count == 0 ? "" : Statistics.Median(values).ToString(format, CultureInfo.InvariantCulture);

    private static string Ratio(IReadOnlyList<double> ratios) => ratios.Count switch
    {
        0 => "",
        1 => string.Create(CultureInfo.InvariantCulture, $"**{ratios[0]:N2}**"),
        _ => string.Create(CultureInfo.InvariantCulture, $"**{Statistics.Median(ratios):N2}** ({ratios.Min():N2}-{ratios.Max():N2})"),
    };
}
