using OrleansMq.Cli.DeadLetters;
using OrleansMq.Client;
using Spectre.Console;

namespace OrleansMq.Tests.Process.CommandLine;

/// <summary>What the tables of dead letters show of times that clients made up.</summary>
public sealed class DeadLetterTablesTests
{
    [Theory]
    [InlineData(0, "1970-01-01T00:00:00Z")]
    [InlineData(253_402_300_799_999, "9999-12-31T23:59:59Z")]
    [InlineData(253_402_300_800_000, "253402300800000")]
    [InlineData(long.MaxValue, "9223372036854775807")]
    [InlineData(-1, "-1")]
    [InlineData(long.MinValue, "-9223372036854775808")]
    public void Time_outside_the_calendar_is_shown_as_a_number(long timestamp, string expected)
    {
        var letter = new DeadLetter(0, 7, timestamp, null, -1, -1, null, null, null, null, null, null, 0, null);
        var source = new DeadLetterSource("orders", null, 1, 0, timestamp, timestamp, []);

        Assert.Contains(expected, Text(DeadLetterTables.Show(new DeadLetterPage([letter], 1, 1, true, 1))), StringComparison.Ordinal);
        var listed = Text(DeadLetterTables.List([new DeadLetterTopic("orders.dead-letter", 4, 4, true, 0, 3, [source])]));
        Assert.Contains(expected, listed, StringComparison.Ordinal);
        Assert.Contains("further sources", listed, StringComparison.Ordinal);
    }

    private static string Text(Spectre.Console.Rendering.IRenderable drawn)
    {
        using var text = new StringWriter();
        var console = AnsiConsole.Create(new AnsiConsoleSettings { Ansi = AnsiSupport.No, Out = new AnsiConsoleOutput(text) });
        console.Profile.Width = 400;
        console.Write(drawn);
        return text.ToString();
    }
}
