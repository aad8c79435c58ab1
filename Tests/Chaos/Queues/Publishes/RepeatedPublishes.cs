using System.Text;
using OrleansMq.Api;
using OrleansMq.Records;
using OrleansMq.Tests.Chaos.Verification;

namespace OrleansMq.Tests.Chaos.Queues.Publishes;

/// <summary>Producers that do not know what became of a publish, and send its records again with the same message ids: to any broker, in
/// other batches, also after the answer, as one does that was restarted. They are no idempotent producers.</summary>
/// <param name="any">One random broker, without failover.</param>
/// <param name="history">Receives what is sent and acknowledged.</param>
/// <param name="seed">Decides what is sent together.</param>
internal sealed class RepeatedPublishes(Func<IBroker> any, PublishHistory history, int seed)
{
    public const string Topic = "ids";
    public const int Partitions = 2;

    private const int Producers = 3;
    private const int MostOfBatch = 5;
    private const int Remembered = 200;
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(60);

    private readonly Lock _lock = new();
    private readonly Known[] _known = [.. Enumerable.Range(0, Partitions).Select(static _ => new Known())];

    // What the producers know of a partition. An id whose outcome is not known is sent by whichever comes next.
    private sealed class Known
    {
        public long Next { get; set; }
        public List<long> Unclear { get; } = [];
        public List<long> Acknowledged { get; } = [];
    }

    /// <summary>The topic: its window is longer than any run, its segments are small, so that snapshots of ids are taken.</summary>
    public static NewTopic ToNewTopic() => new(Topic, Partitions, 3, new Dictionary<string, string>
    {
        ["dedupe.window.ms"] = "7200000",
        ["segment.bytes"] = "100000",
    });

    /// <summary>A refusal that no repetition helps; null for none.</summary>
    public string? Refused { get; private set; }

    /// <summary>Publishes until it is stopped, then until every id is acknowledged.</summary>
    public Task RunAsync(CancellationToken stop) =>
        Task.WhenAll(Enumerable.Range(0, Producers).Select(number => PublishAsync(new Random(seed + number), stop)));

    private async Task PublishAsync(Random random, CancellationToken stop)
    {
        for (var partition = 0; Refused is null; partition = (partition + 1) % Partitions)
        {
            if (stop.IsCancellationRequested && IsClear())
                return;
            await Task.Delay(Tick, CancellationToken.None);
            var numbers = Draw(random, _known[partition], mayBegin: !stop.IsCancellationRequested);
            if (numbers.Count > 0)
                await PublishAsync(partition, numbers);
        }
    }

    private bool IsClear()
    {
        lock (_lock)
            return _known.All(static known => known.Unclear.Count == 0);
    }

    // Some new ids, some of unknown outcome, sometimes one that is acknowledged.
    private List<long> Draw(Random random, Known known, bool mayBegin)
    {
        lock (_lock)
        {
            var numbers = new List<long>();
            var count = random.Next(3) == 0 ? 1 : random.Next(1, MostOfBatch);
            while (numbers.Count < count && known.Unclear.Count > 0)
            {
                numbers.Add(known.Unclear[^1]);
                known.Unclear.RemoveAt(known.Unclear.Count - 1);
            }
            while (mayBegin && numbers.Count < count)
                numbers.Add(known.Next++);
            if (known.Acknowledged.Count > 0 && random.Next(4) == 0)
                numbers.Insert(random.Next(numbers.Count + 1), known.Acknowledged[random.Next(known.Acknowledged.Count)]);
            return [.. numbers.Distinct()];
        }
    }

    private async Task PublishAsync(int partition, List<long> numbers)
    {
        foreach (var number in numbers)
            history.Send(partition, number);
        var answer = await any().ProduceAsync(new TopicPartition(Topic, partition), BatchOf(partition, numbers), Acks.All);
        lock (_lock)
        {
            var known = _known[partition];
            if (answer.Error != ErrorCode.None)
            {
                if (answer.Error.Action() != ErrorAction.Retry)
                    Refused ??= $"{Topic}-{partition}: {answer.Error}: {answer.Message}";
                known.Unclear.AddRange(numbers.Except(known.Unclear));
                return;
            }
            foreach (var number in numbers)
            {
                history.Acknowledge(partition, number, numbers.Count == 1 ? answer.BaseOffset : -1);
                known.Unclear.Remove(number);
                known.Acknowledged.Add(number);
            }
            if (known.Acknowledged.Count > Remembered)
                known.Acknowledged.RemoveRange(0, known.Acknowledged.Count - Remembered);
        }
    }

    private static byte[] BatchOf(int partition, List<long> numbers)
    {
        using var builder = new RecordBatchBuilder();
        foreach (var number in numbers)
            builder.Add(DateTimeOffset.UtcNow.ToUnixTimeMilliseconds(), default, false,
                RecordValue.Of(new RecordId(partition, number), 100), true,
                [new RecordHeader(Encoding.UTF8.GetBytes(MessageHeaders.MessageId), Encoding.UTF8.GetBytes($"{partition}/{number}"))]);
        return builder.Build().ToArray();
    }
}
