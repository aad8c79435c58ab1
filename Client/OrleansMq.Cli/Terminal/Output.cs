using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Spectre.Console;

namespace OrleansMq.Cli.Terminal;

/// <summary>Writes results to standard output: tables for people, JSON for programs.</summary>
internal static class Output
{
    /// <summary>The width of a table that goes to a file or pipe, so that no line is wrapped.</summary>
    private const int RedirectedWidth = 4096;

    /// <summary>Writes one JSON document and a line feed.</summary>
    public static void WriteJson<T>(T value, JsonTypeInfo<T> type)
    {
        using var output = new BufferedStream(new StandardOutput());
        // The output is not embedded in HTML, so text stays unescaped.
        using (var json = new Utf8JsonWriter(output, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
            JsonSerializer.Serialize(json, value, type);
        output.WriteByte((byte)'\n');
    }

    /// <summary>Writes one line.</summary>
    public static void WriteLine(string line)
    {
        using var writer = OpenText();
        writer.WriteLine(line);
    }

    /// <summary>Renders a Spectre object: in colours on a terminal, otherwise as plain text.</summary>
    public static void Write(Spectre.Console.Rendering.IRenderable drawn)
    {
        using var writer = OpenText();
        var console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Out = new AnsiConsoleOutput(writer),
            Ansi = Console.IsOutputRedirected ? AnsiSupport.No : AnsiSupport.Detect,
            Interactive = InteractionSupport.No,
        });
        console.Profile.Width = Console.IsOutputRedirected ? RedirectedWidth : Math.Max(Console.WindowWidth, 40);
        console.Write(drawn);
    }

    /// <summary>Creates a table without a frame, one line per row, in the style of <c>column -t</c>.</summary>
    public static Table NewTable(params ReadOnlySpan<string> columns)
    {
        var table = new Table().Border(TableBorder.None);
        foreach (var column in columns)
            table.AddColumn(new TableColumn(new Text(column, new Style(decoration: Decoration.Bold))).NoWrap().PadRight(2));
        return table;
    }

    private static StreamWriter OpenText() => new(new StandardOutput()) { NewLine = "\n" };
}
