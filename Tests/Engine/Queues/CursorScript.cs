using System.Globalization;
using OrleansMq.Queues;

namespace OrleansMq.Tests.Engine.Queues;

/// <summary>Runs the commands of a transcript on a cursor and prints what it did. See <c>Transcripts/README.md</c>.</summary>
internal sealed class CursorScript
{
    private static readonly Guid Target = new("dead0000-0000-0000-0000-000000000000");

    private readonly Dictionary<string, long> _consumers = new(StringComparer.Ordinal);
    private readonly Dictionary<(long Consumer, long Offset), LockToken> _locks = [];
    private readonly Dictionary<long, string> _requests = [];
    private readonly Dictionary<long, string> _keys = [];
    private readonly Dictionary<Guid, int> _incarnations = [];
    private readonly List<string> _output = [];
    private CursorRig? _rig;
    private int _lastIncarnation;

    private CursorRig Rig => _rig ?? throw new InvalidOperationException("A transcript begins with \"cursor\".");

    /// <summary>Runs one line. Returns what the cursor did.</summary>
    public IReadOnlyList<string> Run(string line)
    {
        _output.Clear();
        var words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        var settings = words.Skip(1).Where(word => word.Contains('=')).Select(word => word.Split('=', 2))
            .ToDictionary(pair => pair[0], pair => pair[1]);
        Run(line, words[0], [.. words.Skip(1).Where(word => !word.Contains('='))], settings);
        return [.. _output];
    }

    private void Run(string line, string command, List<string> names, Dictionary<string, string> settings)
    {
        switch (command)
        {
            case "cursor": Create(settings); break;
            case "records": Produce(names); break;
            case "attach": Attach(names[0], settings); break;
            case "credit": Rig.Handle(new GrantCredit(_consumers[names[0]], Number(names[1]))); break;
            case "detach": Rig.Handle(new Detach(_consumers[names[0]], settings.GetValueOrDefault("failure") != "no")); break;
            case "settle" or "release" or "reject" or "renew": Ask(line, command, names, settings); break;
            case "natural": Rig.Handle(new Advance(Rig.End, Rig.End, [Range(names[0])])); break;
            case "advance": Advance(Number(names[0])); break;
            case "hold": Rig.HoldsCommits = true; break;
            case "commit": (Rig.HoldsCommits, _) = (false, 0); Rig.Commit(); break;
            case "refuse": Rig.HoldsAppends = true; break;
            case "refused": Rig.Handle(new TransitionsRefused(Rig.Appends[^1].Number)); Rig.HoldsAppends = false; break;
            case "target": Answer(names[0]); break;
            case "leader": Rig.FailOver(Rig.Now + Number(settings.GetValueOrDefault("after", "0"))); break;
            case "reset": Begin(line, Rig.Cursor.State!.Configuration, Number(settings["floor"])); break;
            case "restate": Rig.Handle(new Restate(Rig.End)); break;
            case "purge": Ask(line, id => new Purge(id, Number(names[0]))); break;
            case "remove": Ask(line, id => new Remove(id, Rig.Cursor.State!.Incarnation)); break;
            default: throw new ArgumentException($"\"{command}\" is no command.");
        }
    }

    private void Create(Dictionary<string, string> settings)
    {
        var configuration = new CursorConfiguration
        {
            Name = "q",
            MaxDeliveries = Number(settings.GetValueOrDefault("limit", "0")),
            LimitedCount = settings.GetValueOrDefault("count") == "failures" ? LimitedCount.Failures : LimitedCount.Deliveries,
            Backoff = new BackoffSchedule(Number(settings.GetValueOrDefault("backoff", "0")), Multiplier: 2),
            DeadLetterTarget = settings.GetValueOrDefault("target") == "yes" ? new DeadLetterTarget(Target, 0) : null,
            IsOrderedByKey = settings.GetValueOrDefault("keys") == "yes",
            IsSingleActiveConsumer = settings.GetValueOrDefault("single") == "yes",
        };
        _rig = new CursorRig(configuration)
        {
            KeyOf = offset => _keys.GetValueOrDefault(offset) is { } key and not "-" ? key[0] : null,
            Observe = Print,
        };
        _incarnations[Rig.Cursor.State!.Incarnation] = ++_lastIncarnation;
    }

    // A number of records, or the key of each.
    private void Produce(List<string> names)
    {
        if (names is [var count] && int.TryParse(count, CultureInfo.InvariantCulture, out var records))
            names = [.. Enumerable.Repeat("-", records)];
        _output.Add($"at {Rig.End}-{Rig.End + names.Count - 1}");
        for (var i = 0; i < names.Count; i++)
            _keys[Rig.End + i] = names[i];
        Rig.Produce(names.Count);
    }

    private void Attach(string name, Dictionary<string, string> settings)
    {
        _consumers[name] = Rig.NextId;
        Rig.Attach(_consumers[name], Number(settings["credit"]), Number(settings.GetValueOrDefault("lock", "0")),
            settings.GetValueOrDefault("window") != "no", Number(settings.GetValueOrDefault("priority", "0")));
    }

    private void Advance(int milliseconds)
    {
        var end = Rig.Now + milliseconds;
        for (var turns = 0; Rig.WakeAt <= end; turns++)
        {
            Assert.True(turns < 100, "The cursor wants to be woken again and again.");
            Rig.PassTime(Math.Max(Rig.WakeAt - Rig.Now, 0));
        }
        Rig.PassTime(end - Rig.Now);
    }

    private void Ask(string line, string command, List<string> names, Dictionary<string, string> settings)
    {
        var (consumer, records) = (_consumers[names[0]], Range(names[1]));
        var token = _locks[(consumer, records.First)];
        long? delay = settings.TryGetValue("delay", out var value) ? Number(value) : null;
        Ask(line, id => command switch
        {
            "settle" => new Settle(id, token, records),
            "release" => new Release(id, token, records, settings.GetValueOrDefault("failure") != "no", delay),
            "reject" => new Reject(id, token, records),
            _ => new Renew(id, token, records),
        });
    }

    private void Ask(string line, Func<long, CursorRequest> request)
    {
        var id = Rig.NextId;
        _requests[id] = line;
        Rig.Request(request(id));
    }

    private void Begin(string line, CursorConfiguration configuration, int floor)
    {
        var incarnation = Guid.NewGuid();
        _incarnations[incarnation] = ++_lastIncarnation;
        Ask(line, id => new Begin(id, incarnation, configuration, floor, Rig.Cursor.State!.Incarnation));
    }

    private void Answer(string outcome)
    {
        var number = Rig.Publications[^1].Number;
        Rig.Handle(outcome switch
        {
            "has" => new DeadLettersPublished(number),
            "fails" => new DeadLettersFailed(number),
            _ => new DeadLetterTargetGone(number),
        });
    }

    private void Print(CursorEffect effect)
    {
        var text = effect switch
        {
            AppendTransitions append => $"write {string.Join("; ", append.Transitions.Select(Text))}",
            Deliver deliver => Delivered(deliver),
            Answer answer => $"{_requests[answer.RequestId]} -> {answer.Outcome}{(answer.Offset < 0 ? "" : $", floor {answer.Offset}")}",
            PublishDeadLetters publish => $"publish {string.Join(", ", publish.Intents.Select(Text))}",
            StartMayMove start => $"the log may start at {start.Offset}",
            WakeAt wake => wake.Time == long.MaxValue ? "wake never" : $"wake in {wake.Time - Rig.Now} ms",
            _ => null,
        };
        if (text is not null)
            _output.Add(text);
    }

    private string Delivered(Deliver deliver)
    {
        foreach (var record in deliver.Records)
            _locks[(deliver.Attachment, record.Offset)] = deliver.Lock;
        var name = _consumers.Last(consumer => consumer.Value == deliver.Attachment).Key;
        return $"{name} <- {string.Join(", ", deliver.Records.Select(Text))}";
    }

    private static string Text(DeliveredRecord record) => record.Offset + (record.IsRedelivered ? " again" : "")
        + (record.Counts == new DeliveryCounts(1, 0) ? "" : $" ({Text(record.Counts)})");

    private static string Text(DeliveryCounts counts) => $"delivered {counts.Deliveries}, failed {counts.Failures}";

    private static string Text(DeadLetterIntent intent) => $"#{intent.Sequence}: {intent.Offset} for {intent.Cause}";

    private static string Text(OffsetRange range) => range.Count == 1 ? $"{range.First}" : $"{range.First}-{range.Last}";

    private string Text(CursorTransition transition)
    {
        if (transition is CursorStatement statement)
        {
            var state = CursorState.From(statement, Rig.End);
            var number = _incarnations.GetValueOrDefault(state.Incarnation, _lastIncarnation);
            return $"statement of incarnation {number}: floor {state.Floor}, settled [{string.Join(' ', state.Settled.Select(Text))}], "
                + $"returned [{string.Join(' ', state.Returns.Keys.Order())}], intents [{string.Join(' ', state.Intents.Keys)}]";
        }
        if (transition is not CursorDelta delta)
            return "removal";
        var parts = delta.Settlements.Select(s => $"settled {string.Join(' ', s.Ranges.Select(Text))}"
            + (s.Cause == SettlementCause.Accepted ? "" : $" as {s.Cause}"))
            .Concat(delta.Returns.Select(r => $"returned {r.Offset} ({Text(r.Counts)}"
                + (r.AvailableAt == 0 ? ")" : $", for {r.AvailableAt - Rig.Now} ms)")))
            .Concat(delta.Intents.Select(intent => $"intent {Text(intent)}"))
            .Concat(delta.Finished.Select(f => $"finished #{f.Sequence}, {(f.IsPublished ? "published" : "dropped")}"));
        return string.Join(", ", delta.DeliveredUpTo == 0 ? parts : parts.Append($"reserved below {delta.DeliveredUpTo}"));
    }

    private static int Number(string text) => int.Parse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture);

    private static OffsetRange Range(string text)
    {
        var ends = text.Split('-');
        return new OffsetRange(Number(ends[0]), Number(ends[^1]));
    }
}
