using System.Globalization;
using OrleansMq.Cli.Terminal;
using OrleansMq.Client;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace OrleansMq.Cli.DeadLetters;

/// <summary>Formats dead letters as tables.</summary>
internal static class DeadLetterTables
{
    private const string Unknown = "-";

    /// <summary>Lists topics with a line for each source and group.</summary>
    public static IRenderable List(IReadOnlyList<DeadLetterTopic> topics)
    {
        if (topics.Count == 0)
            return new Text("No dead letters. Only topics named *.dead-letter were looked at; for another: omq dead-letter list TOPIC\n");
        var table = Output.NewTable("TOPIC", "SOURCE", "GROUP", "LETTERS", "SENT BACK", "OLDEST", "NEWEST", "CAUSES");
        foreach (var topic in topics)
        {
            foreach (var source in topic.Sources)
                table.AddRow(Cell(topic.Topic), Cell(source.Topic), Cell(source.GroupId), Number(source.Letters), Number(source.Redriven),
                    Time(source.OldestTimestamp), Time(source.NewestTimestamp), Cell(Causes(source)));
            if (topic.WithoutSource > 0)
                table.AddRow(Cell(topic.Topic), Cell(null), Cell(null), Number(topic.WithoutSource), Cell(null), Cell(null), Cell(null),
                    Cell("no dead-letter headers"));
            if (topic.Others > 0)
                table.AddRow(Cell(topic.Topic), Cell(null), Cell(null), Number(topic.Others), Cell(null), Cell(null), Cell(null),
                    Cell("further sources"));
        }
        return new Rows([table, .. topics.Where(static topic => !topic.IsComplete)
            .Select(static topic => new Text($"\n{topic.Topic}: {Bound(topic.Read, topic.Held)}"))]);
    }

    /// <summary>Lists dead letters, one line each.</summary>
    public static IRenderable Show(DeadLetterPage page)
    {
        var rows = new List<IRenderable>();
        if (page.Letters.Count == 0)
            rows.Add(new Text("No dead letters."));
        else
            rows.Add(Letters(page.Letters));
        if (page.Selected > page.Letters.Count)
            rows.Add(new Text($"\nThe newest {Digits(page.Letters.Count)} of {Digits(page.Selected)}; --max shows more."));
        if (!page.IsComplete)
            rows.Add(new Text("\n" + Bound(page.Read, page.Held)));
        return new Rows(rows);
    }

    private static Table Letters(IReadOnlyList<DeadLetter> letters)
    {
        var table = Output.NewTable("TIME", "PARTITION", "OFFSET", "SOURCE", "GROUP", "ATTEMPTS", "REDRIVES", "SENT BACK", "CAUSE");
        foreach (var letter in letters)
        {
            table.AddRow(Time(letter.Timestamp), Number(letter.Partition), Number(letter.Offset),
                Cell(letter.SourceTopic is { } topic ? $"{topic}-{letter.SourcePartition}@{letter.SourceOffset}" : null),
                Cell(letter.GroupId), Number(letter.Attempts), Number(letter.Redrives),
                Cell(letter.IsRedriven switch { true => "yes", false => "no", null => null }),
                Cell(letter.Reason ?? (letter.ExceptionType is { } type ? $"{type}: {letter.ExceptionMessage}" : null)));
        }
        return table;
    }

    private static string Bound(long read, long held) =>
        $"read the newest {Digits(read)} of {Digits(held)} records; --max-read N and --max-read-bytes N read more.";

    private static string Causes(DeadLetterSource source) => string.Join(", ",
        source.Causes.Select(static cause => $"{(cause.Cause.Length == 0 ? "unknown" : cause.Cause)} ({Digits(cause.Letters)})"));

    // One line each, whatever an exception says.
    private static Text Cell(string? text) => new(string.IsNullOrEmpty(text) ? Unknown
        : string.Concat(text.Select(static c => char.IsControl(c) ? ' ' : c)));

    private static Text Time(long timestamp) => new(RecordTime.Format(timestamp));

    private static Text Number(long? number) => new(number is { } known ? Digits(known) : Unknown);

    private static string Digits(long number) => number.ToString(CultureInfo.InvariantCulture);
}
