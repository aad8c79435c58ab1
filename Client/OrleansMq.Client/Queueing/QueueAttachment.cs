using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>A consumer attached to one partition's queue. Settlements that are made while a request is in flight share the next. Thread
/// safe.</summary>
internal sealed class QueueAttachment(IQueues queues, TopicPartition partition, Guid id)
{
    // One request is one transition of the queue's log, which must fit a batch.
    private const int MostPerRequest = 1_000;

    private readonly Lock _lock = new();
    private readonly List<(QueueSettlement Settlement, TaskCompletionSource<ErrorCode> Answer)> _pending = [];
    private readonly CancellationTokenSource _ended = new();
    private bool _isSending;

    /// <summary>The partition.</summary>
    public TopicPartition Partition => partition;

    /// <summary>The consumer's id.</summary>
    public Guid Id => id;

    /// <summary>Whether it serves no more: what it delivered is delivered again.</summary>
    public bool HasEnded => _ended.IsCancellationRequested;

    /// <summary>Is cancelled when it ends.</summary>
    public CancellationToken Ended => _ended.Token;

    /// <summary>Ends it.</summary>
    public void End() => _ = _ended.CancelAsync();

    /// <summary>Settles; completes when it is answered.</summary>
    /// <exception cref="BrokerException">It was refused, or the outcome is unknown.</exception>
    public async Task SettleAsync(QueueSettlement settlement, CancellationToken cancellationToken)
    {
        var answer = new TaskCompletionSource<ErrorCode>(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_lock)
        {
            _pending.Add((settlement, answer));
            if (!_isSending)
            {
                _isSending = true;
                _ = SendAllAsync();
            }
        }
        var error = await answer.Task.WaitAsync(cancellationToken).ConfigureAwait(false);
        if (error != ErrorCode.None)
        {
            throw new BrokerException(error, $"The message at {partition}, offset {settlement.First}, was not settled ({error}): "
                + "it is not held any more, or the broker cannot tell. It is delivered again, unless it was settled.");
        }
    }

    private async Task SendAllAsync()
    {
        while (true)
        {
            (QueueSettlement Settlement, TaskCompletionSource<ErrorCode> Answer)[] sent;
            lock (_lock)
            {
                sent = [.. _pending.Take(MostPerRequest)];
                _pending.RemoveRange(0, sent.Length);
                if (sent.Length == 0)
                {
                    _isSending = false;
                    return;
                }
            }
            await SendAsync(sent).ConfigureAwait(false);
        }
    }

    private async Task SendAsync((QueueSettlement Settlement, TaskCompletionSource<ErrorCode> Answer)[] sent)
    {
        try
        {
            var errors = await queues.SettleAsync(partition, id, [.. sent.Select(one => one.Settlement)]).ConfigureAwait(false);
            for (var i = 0; i < sent.Length; i++)
            {
                if (errors[i] is not (ErrorCode.None or ErrorCode.InvalidRecordState))
                    EndIfHeld(sent[i].Settlement);
                sent[i].Answer.TrySetResult(errors[i]);
            }
        }
        catch (Exception failure)
        {
            foreach (var (settlement, answer) in sent)
            {
                EndIfHeld(settlement);
                answer.TrySetException(failure);
            }
        }
    }

    // The broker may hold the record for this consumer, which has no more to do with it: with the attachment it comes back.
    private void EndIfHeld(in QueueSettlement settlement)
    {
        if (settlement.Action != QueueAction.Renew)
            End();
    }
}
