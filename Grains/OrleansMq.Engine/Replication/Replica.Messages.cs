using OrleansMq.Log;
using OrleansMq.Partitions;
using OrleansMq.Replication.Links;

namespace OrleansMq.Replication;

// Messages of other brokers, and reads for them.
internal sealed partial class Replica
{
    /// <summary>Processes a message of another broker's replica.</summary>
    /// <param name="message">Its batches are valid only during the call.</param>
    /// <param name="reply">Collects the answers to that broker.</param>
    internal void Receive(ReplicationMessage message, BundleReply? reply)
    {
        switch (message)
        {
            case Push push when ReplicatedBatches.FindDamage(push.Batches) is { } damage:
                _ports.Warn(Key, $"Refused damaged batches of {TopicPartition} from broker {push.Leader}: {damage}");
                break;
            case Push push:
                Take(push, reply);
                if (reply is { IsCatchUp: true })
                    WriteBack();
                break;
            case AlignAnswer answer:
                Step(() => _follower!.OnAlignAnswer(answer), reply, mayCut: true);
                break;
            case PushAnswer answer:
                Step(() => _leader?.OnPushAnswer(answer, Now), reply);
                break;
            case AlignRequest request:
                Step(() => _leader?.OnAlignRequest(request, Now), reply);
                break;
        }
    }

    // The log may change while a step waits for the append lock, under which the removal lock must not be taken.
    private void Take(Push push, BundleReply? reply)
    {
        var isCatchUp = reply is { IsCatchUp: true };
        var (mayCut, isLeft) = (MayCut(push), false);
        Step(() =>
        {
            isLeft = !mayCut && MayCut(push);
            if (!isLeft)
                Take(push, isCatchUp);
        }, reply, mayCut);
        if (isLeft)
            Step(() => Take(push, isCatchUp), reply, mayCut: true);
    }

    // An empty log may begin again at the first batch.
    private bool MayCut(Push push) =>
        push.LogStart > Partition.LogStartOffset || Partition.LogStartOffset == Partition.LogEndOffset;

    private void Take(Push push, bool isCatchUp)
    {
        var before = _view!.LogEndOffset;
        try
        {
            _follower!.OnPush(push);
        }
        finally
        {
            // A push that was taken in part has the rest of it resent, and skips what is here: no other call would flush that.
            if (_view.LogEndOffset - before is > 0 and var records)
            {
                if (!isCatchUp)
                    _ports.Pace.NoteLive();
                FlushTaken(records);
            }
        }
        if (_leader is { Status: LeaderStatus.Leading } leader && _view.Fence > leader.Epoch)
            leader.StopIfReplaced(Now);
    }

    private void FlushTaken(long records)
    {
        var config = Partition.Config;
        if (FlushDecision.MustFlushRound(config))
            Partition.FlushWork.Schedule();
        else
            Partition.Flusher.AfterReplicatedWrite(config, records, _ports.Clock);
    }

    // Flushes of other partitions must not wait for gigabytes of this one.
    private void WriteBack()
    {
        if (_log is null || _dropped || Partition.OfflineReason is not null)
            return;
        try
        {
            _log.WriteBack(wait: _ports.Pace.IsLive);
        }
        catch (Exception fault) when (StorageFaults.HadNoHandle(fault))
        {
            // The next flush writes everything.
        }
        catch (Exception fault) when (StorageFaults.IsStorageFault(fault))
        {
            if (!_dropped)
                Partition.GoOffline(StorageFaults.Describe(_log.Directory, fault), fault);
        }
    }

    /// <inheritdoc/>
    /// <remarks>Under <c>sync</c> records count once they are flushed. A follower's flush runs while further pushes arrive, a leader's
    /// while further rounds are written, and all of them share the next.</remarks>
    void IPartitionReplication.FlushAndAnswer()
    {
        if (Partition.OfflineReason is not null)
            return;
        try
        {
            _log!.Flush();
        }
        catch (Exception fault) when (StorageFaults.Passes(fault))
        {
            // Answers to later messages of the leader tell it once the timer has flushed.
            _ports.Warn(Key, $"Partition {TopicPartition}: {StorageFaults.DescribeUnflushed(_log!.Directory, fault)}");
            Partition.Flusher.FlushLater();
            return;
        }
        catch (Exception fault) when (StorageFaults.IsStorageFault(fault))
        {
            Partition.GoOffline(StorageFaults.Describe(_log!.Directory, fault), fault);
        }
        Step(() =>
        {
            _follower!.OnFlushed();
            _leader?.OnFlushed(Now);
        });
    }

    /// <summary>Reads batches for a follower and sends them. Not under the append lock.</summary>
    /// <param name="leader">The requesting leadership.</param>
    /// <param name="fill">The request.</param>
    /// <param name="maxBytes">The most bytes, unless the first batch is larger.</param>
    internal void Fill(LeaderReplica leader, FillPush fill, int maxBytes)
    {
        BatchBuffer? read = null;
        var batches = new List<ReplicatedBatch>();
        try
        {
            if (fill.From >= _log!.LogStartOffset)
                read = _log.Read(fill.From, fill.Limit, maxBytes);
            if (read is not null && fill.IsCatchUp)
                _ports.CatchUp.Count(read.Memory.Length);
            if (read is not null && !ReplicatedBatches.TrySplit(read.Memory, batches))
                throw new DamagedLogException(_log.Directory, 0, fill.From, "what was read is not whole record batches");
        }
        catch (Exception fault)
        {
            read?.Dispose();
            EndUnread(leader, fill, fault);
            return;
        }
        var end = batches.Count > 0 ? batches[^1].NextOffset : fill.Limit;
        Step(() =>
        {
            leader.OnPushFilled(fill.To, fill.Session, fill.From, batches, end, Now);
            if (read is not null)
                _effects.Add(new Release(read));
        });
    }

    // On a thread of the pool, where an exception would end the process. No push follows: an empty one would tell the follower that
    // compaction left nothing there.
    private void EndUnread(LeaderReplica leader, FillPush fill, Exception fault)
    {
        if (StorageFaults.Passes(fault))
            _ports.Warn(Key, $"Partition {TopicPartition}: {StorageFaults.DescribeUnread(fault)}");
        else if (ReferenceEquals(leader, _leader) && leader.Status == LeaderStatus.Leading)
            Partition.GoOffline(DescribeFault(fault), fault);
        Step(() => leader.OnPushNotFilled(fill.To));
    }
}
