using System.CommandLine;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Cli.Records;
using OrleansMq.Cli.Terminal;

namespace OrleansMq.Cli.Groups;

/// <summary>The options that set where offsets are reset to. Exactly one must be given.</summary>
internal sealed class ResetTargetOptions
{
    private readonly Option<bool> _earliest = new("--to-earliest") { Description = "To the first available record." };
    private readonly Option<bool> _latest = new("--to-latest") { Description = "To the end of the log." };
    private readonly Option<bool> _current =
        new("--to-current") { Description = "To the committed offset, moved into the log's range if records were deleted." };
    private readonly Option<long?> _offset = new Option<long?>("--to-offset") { Description = "To an offset.", HelpName = "N" }.AtLeast(0);
    private readonly Option<string?> _dateTime =
        new("--to-datetime") { Description = "To the first record at or after a time, ISO 8601; UTC unless it has an offset.",
            HelpName = "TIME" };
    private readonly Option<string?> _duration =
        new("--by-duration") { Description = "To the first record that is not older than this: 90s, 30m, 12h, 7d, or ISO 8601.",
            HelpName = "TIME" };
    private readonly Option<long?> _shift =
        new("--shift-by") { Description = "Forward by this many records from the committed offset; negative for back.", HelpName = "N" };
    private readonly Option<string?> _file =
        new("--from-file") { Description = "To the offsets in a file, or standard input (-), with lines TOPIC,PARTITION,OFFSET.",
            HelpName = "FILE" };

    /// <summary>Adds the options to a command.</summary>
    public ResetTargetOptions(Command command)
    {
        foreach (var option in All)
            command.Add(option);
    }

    private IReadOnlyList<Option> All => [_earliest, _latest, _current, _offset, _dateTime, _duration, _shift, _file];

    /// <summary>Whether the offsets are read from a file.</summary>
    public bool IsFile(ParseResult parsed) => parsed.GetValue(_file) is not null;

    /// <summary>Returns the target, or the offset of each partition.</summary>
    /// <exception cref="CommandFailedException">No option was given, or several, or a value is invalid.</exception>
    public (OffsetTarget? Target, IReadOnlyDictionary<TopicPartition, long>? Offsets) Parse(ParseResult parsed)
    {
        var given = All.Where(option => parsed.GetResult(option) is { Implicit: false }).ToList();
        if (given.Count != 1)
        {
            throw CommandFailedException.Usage(given.Count == 0
                ? $"Choose where to reset to: one of {string.Join(", ", All.Select(option => option.Name))}."
                : $"{string.Join(" and ", given.Select(option => option.Name))} exclude each other; give one.");
        }
        return given[0] == _file ? (null, ReadFile(parsed.GetValue(_file)!)) : (Target(given[0], parsed), null);
    }

    private OffsetTarget Target(Option given, ParseResult parsed) =>
        given == _earliest ? OffsetTarget.Earliest
        : given == _latest ? OffsetTarget.Latest
        : given == _current ? OffsetTarget.Current
        : given == _offset ? OffsetTarget.ToOffset(parsed.GetValue(_offset)!.Value)
        : given == _shift ? OffsetTarget.ShiftBy(parsed.GetValue(_shift)!.Value)
        : given == _dateTime ? OffsetTarget.ToTime(Times.ParseTime(_dateTime.Name, parsed.GetValue(_dateTime)!))
        : OffsetTarget.ByDuration(Times.ParseDuration(_duration.Name, parsed.GetValue(_duration)!));

    private static Dictionary<TopicPartition, long> ReadFile(string file)
    {
        using var lines = file == "-" ? new StreamReader(StandardInput.Open()) : new StreamReader(file);
        return OffsetFile.Parse(lines);
    }
}
