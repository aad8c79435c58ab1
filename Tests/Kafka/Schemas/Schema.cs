using System.Globalization;

namespace OrleansMq.Tests.Kafka.Schemas;

/// <summary>A range of versions, both ends inclusive.</summary>
public readonly record struct VersionRange(short From, short To)
{
    public static VersionRange None { get; } = new(1, 0);

    public bool Contains(short version) => version >= From && version <= To;

    /// <summary>Parses <c>3</c>, <c>3+</c>, <c>3-7</c> or <c>none</c>.</summary>
    public static VersionRange Parse(string text)
    {
        if (text == "none")
            return None;
        var parts = text.TrimEnd('+').Split('-');
        var from = short.Parse(parts[0], CultureInfo.InvariantCulture);
        return new VersionRange(from, text.EndsWith('+') ? short.MaxValue : parts.Length == 2
            ? short.Parse(parts[1], CultureInfo.InvariantCulture) : from);
    }
}

/// <summary>A field of a message.</summary>
public sealed record Field(string Name, string Type, bool IsArray, VersionRange Versions, VersionRange Nullable, int? Tag)
{
    public List<Field> Fields { get; } = [];
}

/// <summary>A request or a response.</summary>
public sealed record Message(short Key, string Name, bool IsRequest, VersionRange Versions, VersionRange Flexible)
{
    public List<Field> Fields { get; } = [];
}

/// <summary>The messages of <c>requests.schema</c>: the protocol's definition, independent of the code under test.</summary>
public static class Schema
{
    private static readonly Dictionary<(short, bool), Message> Messages = Parse();

    public static Message Request(short key) => Messages[(key, true)];

    public static Message Response(short key) => Messages[(key, false)];

    public static IEnumerable<short> Keys => Messages.Keys.Select(static key => key.Item1).Distinct().Order();

    private static Dictionary<(short, bool), Message> Parse()
    {
        using var stream = typeof(Schema).Assembly.GetManifestResourceStream("requests.schema")!;
        using var reader = new StreamReader(stream);
        var messages = new Dictionary<(short, bool), Message>();
        var levels = new Stack<(int Indent, List<Field> Fields)>();
        while (reader.ReadLine() is { } line)
        {
            if (line.Length == 0 || line[0] == '#')
                continue;
            var words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            var indent = line.Length - line.TrimStart().Length;
            if (indent == 0)
            {
                var message = new Message(short.Parse(words[0], CultureInfo.InvariantCulture), words[1], words[2] == "request",
                    VersionRange.Parse(words[3]), VersionRange.Parse(words[5]));
                messages.Add((message.Key, message.IsRequest), message);
                levels.Clear();
                levels.Push((0, message.Fields));
                continue;
            }
            while (levels.Peek().Indent >= indent)
                levels.Pop();
            var field = ReadField(words);
            levels.Peek().Fields.Add(field);
            levels.Push((indent, field.Fields));
        }
        return messages;
    }

    private static Field ReadField(string[] words)
    {
        string? After(string word) => Array.IndexOf(words, word, 3) is > 0 and var at ? words[at + 1] : null;
        return new Field(words[0], words[1].TrimStart('[', ']'), words[1].StartsWith('['), VersionRange.Parse(words[2]),
            After("null") is { } versions ? VersionRange.Parse(versions) : VersionRange.None, After("tag") is { } tag
            ? int.Parse(tag, CultureInfo.InvariantCulture) : null);
    }
}
