using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>Sends a consumer's settlements, one request at a time. Those that are made meanwhile share the next, where neighbours become
/// one range. Thread safe.</summary>
/// <param name="send">Sends a request: returns the outcome of each settlement.</param>
/// <param name="unanswered">Is told of a settlement that failed otherwise than by the end of its lock: the broker may hold the records
/// still.</param>
internal sealed class SettlementLane(Func<IReadOnlyList<QueueSettlement>, ValueTask<IReadOnlyList<ErrorCode>>> send,
    Action<QueueSettlement> unanswered)
{
    // A request is one transition of the queue's log, which must fit a batch.
    private const int MostPerRequest = 1_000;

    private readonly Lock _lock = new();
    private List<Settling> _pending = [];
    private Task _sending = Task.CompletedTask;
    private bool _isSending;

    /// <summary>Completes when everything that was settled before is answered.</summary>
    public Task IdleAsync()
    {
        lock (_lock)
            return _sending;
    }

    /// <summary>Settles; completes when it is answered.</summary>
    public Task<ErrorCode> SettleAsync(QueueSettlement settlement)
    {
        var settling = new Settling(settlement, new(TaskCreationOptions.RunContinuationsAsynchronously));
        lock (_lock)
        {
            _pending.Add(settling);
            if (!_isSending)
            {
                _isSending = true;
                // Behind the work that waits already: what that settles shares the first request, too.
                _sending = Task.Factory.StartNew(SendAllAsync, CancellationToken.None,
                    TaskCreationOptions.DenyChildAttach | TaskCreationOptions.PreferFairness, TaskScheduler.Default).Unwrap();
            }
        }
        return settling.Answer.Task;
    }

    private async Task SendAllAsync()
    {
        while (true)
        {
            List<Settling> taken;
            lock (_lock)
            {
                if (_pending.Count == 0)
                {
                    _isSending = false;
                    return;
                }
                (taken, _pending) = (_pending, []);
            }
            foreach (var request in Merge(taken).Chunk(MostPerRequest))
                await SendAsync(request).ConfigureAwait(false);
        }
    }

    /// <summary>Merges neighbours that are settled alike under the same lock. A record is settled once, so order has no meaning.</summary>
    private static List<Merged> Merge(List<Settling> settlings)
    {
        var merged = new List<Merged>();
        foreach (var settling in settlings.OrderBy(static one => IsMergeable(one.Settlement) ? 0 : 1)
            .ThenBy(static one => IsMergeable(one.Settlement) ? (one.Settlement.Lock.Number, one.Settlement.First) : default))
        {
            var next = settling.Settlement;
            if (merged is [.., { Settlement: var last } before] && IsMergeable(next) && IsMergeable(last) && last.Lock == next.Lock
                && last.Action == next.Action && last.Last + 1 == next.First)
            {
                before.Settlement = last with { Last = next.Last };
                before.Parts.Add(settling);
            }
            else
                merged.Add(new Merged(settling));
        }
        return merged;
    }

    private static bool IsMergeable(in QueueSettlement settlement) =>
        settlement is { Action: QueueAction.Accept or QueueAction.Renew, Delay: null };

    private async Task SendAsync(IReadOnlyList<Merged> request)
    {
        IReadOnlyList<ErrorCode> errors;
        try
        {
            errors = await send([.. request.Select(static one => one.Settlement)]).ConfigureAwait(false);
            if (errors?.Count != request.Count)
                throw new BrokerException(ErrorCode.UnknownServerError,
                    $"The broker answered {errors?.Count ?? 0} of {request.Count} settlements: their outcome is unknown.");
        }
        catch (Exception failure)
        {
            foreach (var part in request.SelectMany(static one => one.Parts))
            {
                unanswered(part.Settlement);
                part.Answer.TrySetException(failure);
            }
            return;
        }
        var apart = new List<Merged>();
        for (var i = 0; i < request.Count; i++)
        {
            // One of them has no lock any more, and none was settled.
            if (errors[i] == ErrorCode.InvalidRecordState && request[i].Parts.Count > 1)
            {
                apart.AddRange(request[i].Parts.Select(static part => new Merged(part)));
                continue;
            }
            foreach (var part in request[i].Parts)
            {
                if (errors[i] is not (ErrorCode.None or ErrorCode.InvalidRecordState))
                    unanswered(part.Settlement);
                part.Answer.TrySetResult(errors[i]);
            }
        }
        foreach (var single in apart.Chunk(MostPerRequest))
            await SendAsync(single).ConfigureAwait(false);
    }

    private sealed record Settling(QueueSettlement Settlement, TaskCompletionSource<ErrorCode> Answer);

    private sealed class Merged(Settling first)
    {
        public QueueSettlement Settlement { get; set; } = first.Settlement;
        public List<Settling> Parts { get; } = [first];
    }
}
