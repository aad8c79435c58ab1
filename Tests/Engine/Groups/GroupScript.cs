using System.Globalization;
using System.Text.RegularExpressions;
using OrleansMq.Clusters;
using OrleansMq.Groups;
using OrleansMq.Groups.Coordination;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Groups;

/// <summary>Runs the commands of a transcript and prints what the coordinator did. A member is named after its client, and its ids after
/// that name with a number: <c>a#1</c>. See <c>Transcripts/README.md</c> for the commands.</summary>
internal sealed partial class GroupScript
{
    private static readonly DateTimeOffset Start = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    private readonly ScriptedStore _store = new();
    private readonly Dictionary<string, ScriptedCore> _cores = new(StringComparer.Ordinal);
    private readonly Dictionary<string, int> _seen = new(StringComparer.Ordinal);
    private readonly Dictionary<string, ScriptedMember> _members = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string> _names = new(StringComparer.Ordinal);
    private readonly Dictionary<(string Core, long Request), string> _requests = [];
    private readonly List<string> _producers = [];
    private readonly List<string> _output = [];
    private GroupOptions _options = new();
    private ClusterImage _image = ClusterImage.Empty with { Version = ClusterImage.FirstVersion(1) };
    private DateTimeOffset _now = Start;
    private string _current = "";
    private int _lastTopic;

    /// <summary>Runs one line. Returns what the coordinators did.</summary>
    public IReadOnlyList<string> Run(string line)
    {
        _output.Clear();
        var words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries).ToList();
        if (words[0].StartsWith('@'))
        {
            _current = words[0][1..];
            words.RemoveAt(0);
        }
        var settings = words.Skip(1).Where(word => word.Contains('=')).Select(word => word.Split('=', 2))
            .ToDictionary(pair => pair[0], pair => pair[1]);
        var names = words.Skip(1).Where(word => !word.Contains('=')).ToList();
        Run(words[0], names, settings);
        foreach (var name in _cores.Keys.Order(StringComparer.Ordinal))
            Print(name);
        return [.. _output];
    }

    private void Run(string command, List<string> names, Dictionary<string, string> settings)
    {
        switch (command)
        {
            case "options":
                SetOptions(settings);
                break;
            case "topic":
                AddTopic(names[0], int.Parse(settings["partitions"], CultureInfo.InvariantCulture));
                break;
            case "drop":
                DropTopic(names[0]);
                break;
            case "coordinator":
                _current = names[0];
                _cores.Add(_current, new ScriptedCore(_store, _now, GroupTopics.Of(_image), _options, _cores.Count + 1));
                break;
            case "advance":
                Move(core => core.Advance(Seconds(names[0])), Seconds(names[0]));
                break;
            case "stall":
                Move(core => core.Stall(Seconds(names[0])), Seconds(names[0]));
                break;
            case "hold":
                Core.HoldWrites = true;
                break;
            case "finish":
                Core.Finish(Enum.Parse<WriteOutcome>(names.FirstOrDefault() ?? nameof(WriteOutcome.Stored)));
                break;
            case "release":
                Core.HoldWrites = false;
                while (Core.HeldWrites.Count > 0)
                    Core.Finish();
                break;
            case "unreadable":
                Core.IsUnreadable = names[0] == "yes";
                break;
            default:
                Send(command, names, settings);
                break;
        }
    }

    private ScriptedCore Core => _cores[_current];

    private void Move(Action<ScriptedCore> move, TimeSpan by)
    {
        _now += by;
        foreach (var core in _cores.Values)
            move(core);
    }

    private void SetOptions(Dictionary<string, string> settings)
    {
        if (settings.TryGetValue("delay", out var delay))
            _options = _options with { InitialRebalanceDelay = Seconds(delay) };
        if (settings.TryGetValue("max", out var max))
            _options = _options with { MaxSize = int.Parse(max, CultureInfo.InvariantCulture) };
        if (settings.TryGetValue("retention", out var retention))
            _options = _options with { OffsetsRetention = Seconds(retention) };
    }

    private void AddTopic(string name, int partitions)
    {
        // Ids that sort by creation time, like those of brokers.
        var id = new Guid(++_lastTopic, 0, 0x7000, 0x80, 0, 0, 0, 0, 0, 0, 0);
        Publish(_image.WithTopic(new ImageTopic(name, id, TopicStatus.Active, 1,
            System.Collections.Immutable.ImmutableSortedDictionary<string, string>.Empty,
            [.. Enumerable.Repeat(ImagePartition.Create([1]), partitions)], partitions)));
    }

    private void DropTopic(string name) =>
        Publish(_image.WithoutTopic(_image.Names[name]) with { Deleted = _image.Deleted.Add(_image.Names[name]) });

    private void Publish(ClusterImage image)
    {
        _image = image with { Version = _image.Version + 1 };
        foreach (var core in _cores.Values)
            core.Execute(new TopicsChanged(GroupTopics.Of(_image)));
    }

    private static TimeSpan Seconds(string text) => TimeSpan.FromSeconds(double.Parse(text.TrimEnd('s'), CultureInfo.InvariantCulture));

    [GeneratedRegex("^(?<topic>.+)-(?<partition>[0-9]+)$")]
    private static partial Regex TopicPartitionPattern { get; }

    private static TopicPartition Partition(string text)
    {
        var match = TopicPartitionPattern.Match(text);
        return new TopicPartition(match.Groups["topic"].Value, int.Parse(match.Groups["partition"].Value, CultureInfo.InvariantCulture));
    }

    private sealed class ScriptedMember
    {
        public string Id { get; set; } = "";
        public string? Instance { get; set; }
        public int Generation { get; set; }
        public int Ids { get; set; }
    }
}
