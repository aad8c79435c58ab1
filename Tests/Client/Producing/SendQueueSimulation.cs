using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Producers;
using OrleansMq.Records;

namespace OrleansMq.Tests.Client.Producing;

/// <summary>A send queue, a broker's partition with real producer state, and a network between them. The network delays, reorders, loses
/// responses, and delivers requests after the client gave up on them. One thread, one seed.</summary>
internal sealed class SendQueueSimulation(int seed)
{
    private const int DeliveryTimeout = 200;

    private readonly Random _random = new(seed);
    private readonly SendQueue _queue = new(idempotent: true, retries: true, maxInFlight: 5, restAfter: 1000, Split);
    private readonly ProducerStateManager _producers = new();
    private readonly List<Request> _underWay = [];
    private readonly List<Request> _zombies = [];
    private readonly HashSet<int> _reported = [];
    private readonly List<Resolution> _resolutions = [];
    private readonly List<int> _log = [];
    private long _now;
    private int _nextRecord;
    private long _nextProducerId;
    private bool _isCalm;

    public List<int> Acknowledged { get; } = [];
    public List<int> SurelyFailed { get; } = [];
    public List<int> Doubtful { get; } = [];
    public int Faults { get; private set; }
    public int Splits { get; private set; }
    public int Epochs { get; private set; }
    public int Sent => _nextRecord;
    public IReadOnlyList<int> Log => _log;

    public void Run(int steps)
    {
        for (var i = 0; i < steps; i++)
            Step();
        _isCalm = true;
        for (var i = 0; _queue.Count > 0; i++)
        {
            Assert.True(i < 10_000, "The queue does not become idle.");
            Step();
        }
        // Abandoned requests may still arrive, in any order.
        while (_zombies.Count > 0)
            Deliver(Take(_zombies));
    }

    private void Step()
    {
        _now++;
        switch (_random.Next(8))
        {
            case 0 or 1 when !_isCalm:
                Enqueue();
                break;
            case 2 or 3 or 4 when _underWay.Count > 0:
                Advance(_underWay[_random.Next(_underWay.Count)]);
                break;
            case 5 when _zombies.Count > 0 && _random.Next(4) == 0:
                Deliver(Take(_zombies));
                break;
            case 6 when _random.Next(30) == 0:
                _now += _random.Next(DeliveryTimeout);
                break;
        }
        _queue.Expire(_now - DeliveryTimeout);
        SendAll();
        TakeResolved();
        Assert.InRange(_queue.InFlight, 0, 5);
        Assert.False(_queue.OldestSentAt <= _now - DeliveryTimeout, "Every record is reported by its deadline.");
    }

    private void Enqueue()
    {
        var batch = new ProduceBatch(CompressionType.None, CompressionCodecs.Empty);
        batch.Open(_now, long.MinValue, new FlushGeneration(null));
        var records = Enumerable.Range(_nextRecord, _random.Next(1, 4)).ToArray();
        _nextRecord += records.Length;
        foreach (var record in records)
            batch.Add(Data(record));
        _queue.Enqueue(batch);
    }

    private void SendAll()
    {
        while (true)
        {
            switch (_queue.Next(_now, out var batch))
            {
                case SendStep.Send:
                    var identity = _queue.Identity!.Value;
                    _underWay.Add(NewRequest(batch!, identity));
                    break;
                case SendStep.GetIdentity or SendStep.GetNewIdentity:
                    _queue.SetIdentity(new ProducerIdentity(_nextProducerId++, 0));
                    break;
                default:
                    return;
            }
        }
    }

    /// <summary>Advances a request: it arrives, is refused in transit, is answered, or is abandoned by the client.</summary>
    private void Advance(Request request)
    {
        var fault = _isCalm ? 10 : _random.Next(20);
        if (fault < 2)
        {
            Faults++;
            Answer(request, ProduceResult.Failed(ErrorCode.RequestTimedOut, "given up"));
            if (request.Answer is null)
                _zombies.Add(request);
        }
        else if (request.Answer is { } answer)
        {
            Answer(request, answer);
        }
        else if (fault == 19 && request.Records.Length > 1)
        {
            Splits++;
            Answer(request, ProduceResult.Failed(ErrorCode.MessageTooLarge, "too large"));
        }
        else if (fault < 5)
        {
            Faults++;
            Answer(request, ProduceResult.Failed(Pick(ErrorCode.NotLeaderOrFollower, ErrorCode.NotEnoughReplicas, ErrorCode.InvalidRecord),
                "refused"));
        }
        else
        {
            Deliver(request);
            if (fault == 5)
                request.Answer = ProduceResult.Failed(ErrorCode.NotEnoughReplicasAfterAppend, "appended");
        }
    }

    private void Deliver(Request request)
    {
        var header = request.Header with { BaseOffset = _log.Count };
        var decision = _producers.Check(header);
        if (decision.Outcome == ProducerOutcome.Accept)
        {
            _producers.Apply(header, _now);
            _log.AddRange(request.Records);
        }
        request.Answer = decision.ErrorCode == ErrorCode.None
            ? new ProduceResult(ErrorCode.None, decision.Outcome == ProducerOutcome.Duplicate ? decision.BaseOffset : header.BaseOffset)
            : ProduceResult.Failed(decision.ErrorCode, decision.Outcome.ToString());
    }

    private void Answer(Request request, ProduceResult result)
    {
        _underWay.Remove(request);
        _queue.OnResult(request.Batch, result, _now, _now + _random.Next(20));
    }

    private void TakeResolved()
    {
        _queue.TakeResolved(_resolutions);
        foreach (var (batch, report, _) in _resolutions)
        {
            if (!report)
                continue;
            var records = Records(batch.Seal(null, false));
            Assert.All(records, record => Assert.True(_reported.Add(record), "A record is reported once."));
            var list = batch.Result.Error == ErrorCode.None ? Acknowledged : batch.MayBeWritten ? Doubtful : SurelyFailed;
            list.AddRange(records);
            if (batch.Result.Error == ErrorCode.None && batch.Result.BaseOffset >= 0)
                Assert.Equal(records, _log.Skip((int)batch.Result.BaseOffset).Take(records.Length));
        }
        _resolutions.Clear();
        Epochs = Math.Max(Epochs, _queue.Identity?.ProducerEpoch ?? 0);
    }

    private Request Take(List<Request> requests)
    {
        var i = _random.Next(requests.Count);
        var request = requests[i];
        requests.RemoveAt(i);
        return request;
    }

    private ErrorCode Pick(params ReadOnlySpan<ErrorCode> codes) => codes[_random.Next(codes.Length)];

    private static Request NewRequest(ProduceBatch batch, ProducerIdentity identity)
    {
        var bytes = batch.Seal(identity, false);
        return new Request(batch, RecordBatchHeader.Read(bytes.Span), Records(bytes));
    }

    private static int[] Records(ReadOnlyMemory<byte> bytes)
    {
        using var reader = new RecordReader(bytes, CompressionCodecs.Empty);
        var records = new List<int>();
        while (reader.MoveNext())
            records.Add(BitConverter.ToInt32(reader.Current.Value!.Value.Span));
        return [.. records];
    }

    private static (ProduceBatch, ProduceBatch) Split(ProduceBatch batch)
    {
        var (first, second) = (new ProduceBatch(CompressionType.None, CompressionCodecs.Empty),
            new ProduceBatch(CompressionType.None, CompressionCodecs.Empty));
        batch.SplitInto(first, second, CompressionCodecs.Empty);
        return (first, second);
    }

    private static RecordData Data(int record) => new()
    {
        Key = default,
        HasKey = false,
        Value = BitConverter.GetBytes(record),
        HasValue = true,
        Headers = default,
        Timestamp = 1,
        Size = 40,
        Partition = 0,
        Recipient = default,
    };

    private sealed record Request(ProduceBatch Batch, RecordBatchHeader Header, int[] Records)
    {
        public ProduceResult? Answer { get; set; }

        public bool Equals(Request? other) => ReferenceEquals(this, other);

        public override int GetHashCode() => System.Runtime.CompilerServices.RuntimeHelpers.GetHashCode(this);
    }
}
