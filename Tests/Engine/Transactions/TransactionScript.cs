using System.Globalization;
using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Diagnostics;
using OrleansMq.Transactions;

namespace OrleansMq.Tests.Engine.Transactions;

/// <summary>Runs the commands of a transcript and prints what the coordinators of one transactional id did. See
/// <c>Transcripts/README.md</c> for the commands.</summary>
internal sealed class TransactionScript
{
    private static readonly DateTimeOffset Start = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    private readonly SortedDictionary<string, Scripted> _cores = new(StringComparer.Ordinal);
    // By instance: the identity that it goes on with.
    private readonly Dictionary<string, ProducerIdentity> _producers = new(StringComparer.Ordinal);
    private readonly List<string> _output = [];
    private (byte[] Bytes, long ETag)? _document;
    private long _lastETag;
    private DateTimeOffset _now = Start;
    private string _current = "";

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
        var settings = words.Skip(1).Where(static word => word.Contains('=')).Select(static word => word.Split('='))
            .ToDictionary(static pair => pair[0], static pair => pair[1]);
        Run(words[0], [.. words.Skip(1).Where(static word => !word.Contains('='))], settings);
        return [.. _output];
    }

    private Scripted Current => _cores[_current];

    private void Run(string command, List<string> words, Dictionary<string, string> settings)
    {
        switch (command)
        {
            case "stored":
                _document = (TransactionDocument.Of(new CoordinatorClaim(1, Guid.Empty), new TransactionState
                {
                    Phase = TransactionPhase.Empty,
                    ProducerId = Producer(words[0]).ProducerId,
                    Epoch = Producer(words[0]).ProducerEpoch,
                    Timeout = TimeSpan.FromSeconds(60),
                    UpdatedAt = _now,
                }).ToBytes(), ++_lastETag);
                break;
            case "coordinator":
                _current = words[0];
                var number = _cores.Count + 1;
                var core = new TransactionCore("id", number, new TransactionOptions(), new Guid(number, 0, 0, new byte[8]), Read(), _now);
                _cores.Add(_current, new Scripted(core) { ETag = _document?.ETag });
                CarryOut(Current);
                break;
            case "advance":
                Advance(TimeSpan.FromSeconds(double.Parse(words[0].TrimEnd('s'), CultureInfo.InvariantCulture)));
                break;
            case "hold":
                Current.IsHeld = true;
                break;
            case "release":
                Current.IsHeld = false;
                while (Current.Held.TryDequeue(out var write))
                    Write(Current, write);
                break;
            case "id":
                Execute(new ProducerIdTaken(long.Parse(words[0], CultureInfo.InvariantCulture)));
                break;
            case "told":
                Execute(new ParticipantsEnded(Current.Told!.State.Number));
                break;
            case "fenced":
                Execute(new CoordinatorFenced(Current.Told!.State.Number, Current.Told.CoordinatorEpoch));
                break;
            default:
                Send(command, words, settings);
                break;
        }
    }

    private void Send(string command, List<string> words, Dictionary<string, string> settings)
    {
        var instance = words.FirstOrDefault() ?? "";
        var producer = settings.TryGetValue("as", out var given) ? Producer(given) : _producers.GetValueOrDefault(instance);
        var caller = new TransactionCaller(instance.Length > 0 ? instance : "operator");
        var raises = !words.Contains("tv1");
        ITransactionRequest request = command switch
        {
            "init" => new InitTransactions
            {
                TransactionalId = "id",
                Timeout = TimeSpan.FromSeconds(settings.TryGetValue("timeout", out var timeout)
                    ? double.Parse(timeout.TrimEnd('s'), CultureInfo.InvariantCulture) : 60),
                Current = settings.ContainsKey("as") || words.Contains("again") ? producer : null,
                Caller = caller,
            },
            "add" => new AddToTransaction
            {
                TransactionalId = "id",
                Producer = producer,
                Partitions = [.. words.Where(static word => word.Contains('-')).Select(Partition)],
                Groups = settings.TryGetValue("group", out var group) ? [group] : [],
                VerifyOnly = words.Contains("verify"),
                RaisesEpoch = raises,
                Caller = caller,
            },
            "commit" or "abort" => new EndTransaction
            {
                TransactionalId = "id",
                Producer = producer,
                IsCommit = command == "commit",
                RaisesEpoch = raises,
                Caller = caller,
            },
            "force" => new AbortTransaction("id", caller),
            "describe" => new DescribeTransaction("id"),
            _ => throw new FormatException(command),
        };
        Current.Requests.Add(++Current.LastRequest, (command, instance));
        Execute(new CoordinatorRequest(Current.LastRequest, request));
    }

    private void Advance(TimeSpan by)
    {
        var until = _now + by;
        while (_cores.Values.Where(core => core.WakeAt <= until).MinBy(static core => core.WakeAt) is { } core)
        {
            _now = core.WakeAt > _now ? core.WakeAt.Value : _now;
            core.WakeAt = null;
            Execute(core, new Wake());
        }
        _now = until;
    }

    private void Execute(CoordinatorCommand command) => Execute(Current, command);

    private void Execute(Scripted core, CoordinatorCommand command)
    {
        core.Core.Execute(command, _now);
        CarryOut(core);
    }

    private void CarryOut(Scripted core)
    {
        while (true)
        {
            var effects = new List<CoordinatorEffect>();
            core.Core.TakeEffects(effects);
            if (effects.Count == 0)
                return;
            foreach (var effect in effects)
                CarryOut(core, effect);
        }
    }

    private void CarryOut(Scripted core, CoordinatorEffect effect)
    {
        switch (effect)
        {
            case WakeAt wake:
                core.WakeAt = wake.Time;
                return;
            case Reply reply:
                var (command, instance) = core.Requests[reply.RequestId];
                Print(core, $"{command} {instance}".TrimEnd() + $" -> {Answer(instance, reply.Result)}");
                return;
            case Store store:
                Print(core, store.Content is TransactionContent content
                    ? $"store: epoch {content.Coordinator.Epoch}, {Text(content.State)}" : "delete");
                core.Held.Enqueue(store);
                while (!core.IsHeld && core.Held.TryDequeue(out var write))
                    Write(core, write);
                return;
            case ReadStored:
                Print(core, "read");
                core.ETag = _document?.ETag;
                core.Core.Execute(new ReadCompleted(Read()), _now);
                return;
            case ConfirmClaim confirm:
                Print(core, "confirm");
                core.Core.Execute(new ClaimRead(confirm.Number, Read().Transaction?.Coordinator), _now);
                return;
            case EndParticipants told:
                core.Told = told;
                Print(core, $"tell {Participants(told.State)}: {(told.State.Phase == TransactionPhase.PrepareCommit ? "commit" : "abort")} "
                    + $"as {Text(told.State.Producer)}, coordinator {told.CoordinatorEpoch}");
                return;
            case TakeProducerId:
                Print(core, "take a producer id");
                return;
            case ReleaseProducerIds release:
                Print(core, $"release {string.Join(' ', release.ProducerIds)}");
                return;
            case Deposed:
                Print(core, "deposed");
                return;
            case LogLine line:
                Print(core, $"{(line.Level == EngineLogLevel.Warning ? "warning" : "log")}: {line.Message}");
                return;
            default:
                throw new InvalidOperationException($"No effect of a transactional id: {effect}.");
        }
    }

    private void Write(Scripted core, Store write)
    {
        if (_document?.ETag != core.ETag)
        {
            Execute(core, new StoreFailed(write.Document, "it is not what was read", IsConflict: true));
            return;
        }
        _document = write.Content is { } content ? (content.ToBytes(), ++_lastETag) : null;
        core.ETag = _document?.ETag;
        Execute(core, new StoreCompleted(write.Document, write.Version));
    }

    private StoredTransaction Read() =>
        _document is { } stored ? new StoredTransaction(TransactionDocument.Parse(stored.Bytes)) : StoredTransaction.None;

    private void Print(Scripted core, string line) =>
        _output.Add(_cores.Count > 1 ? $"{_cores.First(pair => pair.Value == core).Key}: {line}" : line);

    private string Answer(string instance, object answer)
    {
        switch (answer)
        {
            case InitTransactionsResult { Error: ErrorCode.None } init:
                _producers[instance] = init.Producer;
                return Text(init.Producer);
            case EndTransactionResult { Error: ErrorCode.None } end:
                _producers[instance] = end.Producer;
                return Text(end.Producer);
            case AddToTransactionResult { Error: ErrorCode.None } add:
                return $"number {add.Number - Start.ToUnixTimeMilliseconds()}";
            case TransactionDescription description:
                return $"{description.Phase} {Text(description.Producer)}";
            case ITransactionAnswer refused:
                return $"{refused.Error}";
            default:
                throw new InvalidOperationException($"No answer of a transactional id: {answer}.");
        }
    }

    private static string Participants(TransactionState state) => string.Join(' ',
        state.Partitions.Select(static partition => $"{partition.Topic}-{partition.Partition}").Concat(state.Groups));

    private static string Text(TransactionState state) => $"{state.Phase} {Text(state.Producer)}"
        + (state.LastEpoch >= 0 ? $", last {state.LastEpoch}" : "") + (state.PreviousProducerId >= 0
            ? $", previous {state.PreviousProducerId}" : "") + (state.NextProducerId >= 0 ? $", next {state.NextProducerId}" : "")
        + (Participants(state) is { Length: > 0 } participants ? $", {participants}" : "");

    private static TransactionPartition Partition(string text) => text.Split('-') is [var topic, var partition]
        ? new(topic, int.Parse(partition, CultureInfo.InvariantCulture), Guid.Empty) : throw new FormatException(text);

    private static string Text(ProducerIdentity producer) => $"{producer.ProducerId}/{producer.ProducerEpoch}";

    private static ProducerIdentity Producer(string text) => text.Split('/') is [var id, var epoch]
        ? new(long.Parse(id, CultureInfo.InvariantCulture), short.Parse(epoch, CultureInfo.InvariantCulture))
        : throw new FormatException(text);

    private sealed class Scripted(TransactionCore core)
    {
        public TransactionCore Core { get; } = core;
        public DateTimeOffset? WakeAt { get; set; }
        public long? ETag { get; set; }
        public bool IsHeld { get; set; }
        public Queue<Store> Held { get; } = [];
        public EndParticipants? Told { get; set; }
        public long LastRequest { get; set; }
        public Dictionary<long, (string Command, string Instance)> Requests { get; } = [];
    }
}
