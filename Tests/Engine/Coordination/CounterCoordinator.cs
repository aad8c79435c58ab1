using System.Text.Json;
using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Diagnostics;
using OrleansMq.State;

namespace OrleansMq.Tests.Engine.Coordination;

// A minimal coordinator, which keeps one number: all that a new kind needs beside the shared base.

/// <summary>The decisions.</summary>
internal static class CounterDecision
{
    /// <summary>Adds to a counter that must not fall below zero.</summary>
    public static (long Next, CounterAnswer Answer) Add(long value, long amount) => value + amount < 0
        ? (value, new CounterAnswer(ErrorCode.InvalidRequest, value))
        : (value + amount, new CounterAnswer(ErrorCode.None, value + amount));
}

/// <summary>Adds to a counter.</summary>
internal sealed record AddToCounter(long Amount) : ICoordinatorRequest
{
    object ICoordinatorRequest.Refuse(ErrorCode error, string message) => new CounterAnswer(error, -1);
}

/// <summary>Reads a counter.</summary>
internal sealed record ReadCounter : ICoordinatorRequest
{
    object ICoordinatorRequest.Refuse(ErrorCode error, string message) => new CounterAnswer(error, -1);
}

/// <summary>Deletes a counter.</summary>
internal sealed record DeleteCounter : ICoordinatorRequest
{
    object ICoordinatorRequest.Refuse(ErrorCode error, string message) => new CounterAnswer(error, -1);
}

internal readonly record struct CounterAnswer(ErrorCode Error, long Value);

/// <summary>The document <c>counter/ID</c>.</summary>
internal sealed record CounterDocument(CoordinatorClaim Coordinator, long Value) : IOwnedDocument
{
    public byte[] ToBytes() => JsonSerializer.SerializeToUtf8Bytes(this);

    public static CounterDocument Parse(ReadOnlyMemory<byte> bytes) => JsonSerializer.Deserialize<CounterDocument>(bytes.Span)!;
}

internal sealed record StoredCounter(CounterDocument? Counter) : StoredDocuments
{
    public override IOwnedDocument? this[int document] => Counter;
}

/// <summary>The core: the working state, and what each answer waits for.</summary>
internal sealed class CounterCore : CoordinatorCore
{
    private long _value;

    public CounterCore(string id, Guid token, StoredCounter stored, DateTimeOffset now) : base(Counters.Kind, id, token, now) =>
        Begin(stored);

    protected override void Handle(CoordinatorRequest request)
    {
        switch (request.Body)
        {
            case AddToCounter add:
                (_value, var answer) = CounterDecision.Add(_value, add.Amount);
                if (answer.Error == ErrorCode.None)
                    Changed(0);
                Hold(request, answer);
                break;
            case ReadCounter:
                HoldConfirmed(request, new CounterAnswer(ErrorCode.None, _value));
                break;
            default:
                Forget();
                Hold(request, default(CounterAnswer));
                break;
        }
    }

    protected override void Abandon(long requestId)
    {
    }

    protected override IOwnedDocument ContentOf(int document) => new CounterDocument(Claim, _value);

    protected override void AdoptState(StoredDocuments stored) => _value = ((StoredCounter)stored).Counter?.Value ?? 0;

    protected override void ForgetState() => _value = 0;
}

/// <summary>The registration.</summary>
internal static class Counters
{
    public static CoordinatorKind Kind { get; } = new("counter",
        [new DocumentKind("Counter", "counts", "counter", CounterDocument.Parse)],
        static documents => new StoredCounter((CounterDocument?)documents[0]));

    public static async Task<ICoordinator> OpenAsync(string id, IStateStore store, TimeProvider time)
    {
        var coordinator = await Coordinator.OpenAsync(Kind, id, store,
            stored => new CounterCore(id, Guid.NewGuid(), (StoredCounter)stored, time.GetUtcNow()), time, EngineLog.Silent);
        coordinator.Run();
        return coordinator;
    }
}
