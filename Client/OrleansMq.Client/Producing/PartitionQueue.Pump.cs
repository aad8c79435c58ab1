using OrleansMq.Api;
using OrleansMq.Records;
using OrleansMq.Timing;

namespace OrleansMq.Client;

/// <content>The loop.</content>
internal sealed partial class PartitionQueue
{
    void IThreadPoolWorkItem.Execute() => Pump(StepsOnPoolThread);

    private void Pump(int steps)
    {
        while (steps-- > 0)
        {
            SendStep step;
            ProduceBatch? batch;
            ProducerIdentity? identity;
            var closed = false;
            long now;
            lock (_gate)
            {
                now = _producer.Clock.Now;
                TakeEnded(now);
                Expire(now);
                if (_queue.IsIdle && _open is not null && IsReady(_open, now))
                    closed = Close();
                step = NextStep(now, out batch);
                identity = _queue.Identity;
                _queue.TakeResolved(_reports);
                if (batch is null && step is SendStep.Wait or SendStep.Backoff && _reports.Count == 0 && !closed)
                {
                    ArmTimer(step, now);
                    _pumping = false;
                    return;
                }
            }
            if (closed)
                _topic.OnBatchClosed(_topicPartition.Partition, now);
            if (batch is not null)
                HandOver(batch, identity);
            else if (step is SendStep.GetIdentity or SendStep.GetNewIdentity)
                _producer.AskForIdentity(this, step == SendStep.GetNewIdentity);
            Report();
        }
        ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
    }

    private SendStep NextStep(long now, out ProduceBatch? batch)
    {
        var step = _queue.Next(now, out batch);
        if (step is not (SendStep.GetIdentity or SendStep.GetNewIdentity))
            return step;
        if (_identityAsked)
            return SendStep.Wait;
        _identityAsked = true;
        return step;
    }

    private void HandOver(ProduceBatch batch, ProducerIdentity? identity)
    {
        _producer.CountSent(batch);
        bool ended;
        try
        {
            var target = _producer.Target;
            var call = target.ProduceAsync(_topicPartition, batch.Seal(identity, target.IsTransactional), identity,
                AcksLevels.Of(_producer.Options.Acks, batch.IsPersistent));
            ended = batch.Await(call);
        }
        catch (CodecUnavailableException e)
        {
            End(batch, ProduceResult.Failed(ErrorCode.UnsupportedCompressionType, e.Message));
            return;
        }
        catch (Exception e)
        {
            End(batch, ProduceBatch.ResultOf(e));
            return;
        }
        if (ended)
            End(batch, batch.TakeResult());
    }

    /// <summary>Notes a response. Returns true if the caller has to run the loop.</summary>
    private bool End(ProduceBatch batch, ProduceResult result)
    {
        lock (_gate)
        {
            _ended.Add((batch, result));
            var start = !_pumping;
            _pumping = true;
            return start;
        }
    }

    private void TakeEnded(long now)
    {
        foreach (var (batch, result) in _ended)
            _queue.OnResult(batch, result, now, result.Error == ErrorCode.None
                ? now : _producer.RetryAt(now, batch.Attempts, result.Error));
        _ended.Clear();
    }

    private void Expire(long now)
    {
        var sentBefore = now - _producer.DeliveryTicks;
        if (_queue.OldestSentAt <= sentBefore)
            _queue.Expire(sentBefore);
        if (_open is not null && _open.SentAt <= sentBefore)
        {
            Close();
            _queue.Expire(sentBefore);
        }
    }

    private void Report()
    {
        foreach (var resolution in _reports)
            _producer.Report(_topicPartition, resolution);
        _reports.Clear();
    }

    private void ArmTimer(SendStep step, long now)
    {
        var wakeAt = step == SendStep.Backoff ? _queue.RetryAt
            : _queue.IsIdle && _open is not null ? _open.LingerUntil
            : long.MaxValue;
        if (wakeAt == _wakeAt)
            return;
        _wakeAt = wakeAt;
        if (wakeAt == long.MaxValue)
            return; // An armed timer finds nothing to do.
        _timer ??= new WakeTimer(_producer.Options.TimeProvider, OnTimer);
        _timer.Set(_producer.Clock.Until(wakeAt, now), now);
    }

    private void OnTimer()
    {
        lock (_gate)
            _wakeAt = long.MaxValue;
        Start();
    }
}
