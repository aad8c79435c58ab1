using System.Buffers;
using System.Diagnostics.Metrics;
using System.Globalization;
using System.Text;

namespace OrleansMq.Gateways.Http.Metrics;

/// <summary>
/// Writes the Prometheus text exposition format 0.0.4: <c># HELP</c> and <c># TYPE</c> lines, then a line a sample:
/// <c>name{label="value"} number</c>. In help a backslash and a line feed are escaped, in label values a double quote too.
/// </summary>
internal readonly struct PrometheusText(IBufferWriter<byte> output)
{
    /// <summary>The name of an instrument: dots become underscores, then the unit in full, then <c>_total</c> for counters.</summary>
    public static string NameOf(Instrument instrument)
    {
        var name = new StringBuilder(instrument.Name).Replace('.', '_');
        name.Append(instrument.Unit switch { "By" => "_bytes", "s" => "_seconds", _ => "" });
        return name.Append(IsCounter(instrument) ? "_total" : "").ToString();
    }

    /// <summary>Whether an instrument only ever rises.</summary>
    public static bool IsCounter(Instrument instrument) =>
        instrument is ObservableCounter<int> or ObservableCounter<long> or ObservableCounter<double>;

    /// <summary>The lines before a family's samples.</summary>
    public void Head(string name, string type, string? help)
    {
        if (help is not null)
        {
            Append($"# HELP {name} ");
            AppendEscaped(help, quotes: false);
            Append("\n");
        }
        Append($"# TYPE {name} {type}\n");
    }

    /// <summary>One sample.</summary>
    /// <param name="name">The family's name.</param>
    /// <param name="suffix">What the sample adds to it.</param>
    /// <param name="labels">Its labels.</param>
    /// <param name="le">The upper bound, for a histogram's bucket.</param>
    /// <param name="value">The number.</param>
    public void Sample(string name, string suffix, ReadOnlySpan<KeyValuePair<string, object?>> labels, double? le, double value)
    {
        Append(name);
        Append(suffix);
        if (labels.Length > 0 || le is not null)
            AppendLabels(labels, le);
        Append(" ");
        Append(Number(value));
        Append("\n");
    }

    private void AppendLabels(ReadOnlySpan<KeyValuePair<string, object?>> labels, double? le)
    {
        var separator = "{";
        foreach (var (label, value) in labels)
        {
            Append(separator);
            Append(label);
            Append("=\"");
            AppendEscaped(Convert.ToString(value, CultureInfo.InvariantCulture) ?? "", quotes: true);
            Append("\"");
            separator = ",";
        }
        if (le is { } bound)
            Append($"{separator}le=\"{Number(bound)}\"");
        Append("}");
    }

    private void AppendEscaped(string text, bool quotes)
    {
        if (text.AsSpan().IndexOfAny("\\\n\"") >= 0)
        {
            text = text.Replace("\\", "\\\\").Replace("\n", "\\n");
            text = quotes ? text.Replace("\"", "\\\"") : text;
        }
        Append(text);
    }

    private void Append(string text) => Encoding.UTF8.GetBytes(text, output);

    private static string Number(double value) =>
        double.IsPositiveInfinity(value) ? "+Inf"
        : double.IsNegativeInfinity(value) ? "-Inf"
        : value.ToString("R", CultureInfo.InvariantCulture);
}
