using OrleansMq.Replication;

namespace OrleansMq.Tests.Simulation;

// Performs the effects of the roles: the network, the log's files, answers to clients, reports.
internal sealed partial class Cluster
{
    private void Perform(SimulatedBroker broker)
    {
        if (broker is { Leads: true, Announced: false })
            Announce(broker);
        // Performing an effect may add no other: only events call roles.
        foreach (var effect in broker.Effects)
            Perform(broker, effect);
        broker.Effects.Clear();
    }

    private void Announce(SimulatedBroker broker)
    {
        broker.Announced = true;
        var (leader, topic) = (broker.Leader!, broker.Topic);
        var highWatermark = broker.Log.HighWatermark;
        if (Trace is not null)
            Tell($"{broker.Id} LEADS {leader.Epoch} from {leader.EpochStart}, high watermark {highWatermark}: {leader.Committed}");
        Figures.Elections++;
        Verdict.Require(!_restored, $"a store from the past: {broker.Id} leads epoch {leader.Epoch}");
        topic.Replicas.OnLeading(broker.Id, leader, _now);
        // A claim with a late answer may start an epoch that is over. It serves no client, since its followers and readers know a later
        // one.
        if (topic.LatestEpoch >= leader.Epoch)
            return;
        (topic.LatestLeader, topic.LatestEpoch) = (broker, leader.Epoch);
        if (broker.Effects.OfType<ReportUncleanElection>().FirstOrDefault() is { } report)
        {
            Figures.Unclean++;
            topic.Clients.OnUncleanElection(report, broker.Log);
        }
        topic.Clients.OnServing(broker.Log);
        CheckKeys(topic);
    }

    // An unclean election may lose records that replace others, or delete them.
    private void CheckKeys(Topic topic)
    {
        if (!Scenario.MayCompact)
            return;
        foreach (var broker in MayLead(topic).Where(broker => broker.IsUp))
            topic.Replicas.CheckKeys(broker.Id, broker.Log);
    }

    /// <summary>No replica that may lead has records whose deletion was answered.</summary>
    private void CheckDeletions(Topic topic)
    {
        if (!Scenario.MayDelete)
            return;
        foreach (var broker in MayLead(topic))
            topic.Clients.OnMayLead(broker.Id, broker.Disk.LogStart);
    }

    private IEnumerable<SimulatedBroker> MayLead(Topic topic) => _restored || Scenario.MayElectUnclean ? []
        : _brokers.Where(broker => broker.Disk.Topic == topic
            && (topic.Store.State.Isr.Contains(broker.Identity) || topic.Store.State.Elr.Contains(broker.Identity)));

    private void Perform(SimulatedBroker broker, ReplicationEffect effect)
    {
        switch (effect)
        {
            case SendMessage send:
                if (send.Message is PushAnswer { Outcome: PushAnswerOutcome.Accepted } accepted)
                    broker.Log.Topic.Replicas.OnAccepted(accepted);
                Send(broker, _brokers[send.To], send.Message, send.Lane == PushLane.CatchUp);
                break;
            case FillPush fill:
                Fill(broker, fill);
                break;
            case ReadState read:
                Read(broker, read.Operation);
                break;
            case WriteState write:
                Write(broker, write);
                break;
            case CompleteAppend complete:
                Answer(broker, complete);
                break;
            case CompleteDeletion complete:
                Answer(complete);
                break;
            case ReportLoss loss:
                if (Trace is not null)
                    Tell($"{broker.Id} discards {loss.From} to {loss.To} in epoch {loss.Epoch}");
                broker.Log.Topic.Clients.OnReportedLoss(loss.Epoch);
                break;
            case ReportUncleanElection report:
                if (Trace is not null)
                {
                    var epochs = string.Join(' ', report.History.Select(e => $"{e.Epoch}:{e.StartOffset}"));
                    Tell($"{broker.Id} reports that what is left ends at {report.LogEnd}, epochs {epochs}");
                }
                break;
        }
    }

    private void Send(SimulatedBroker from, SimulatedBroker to, ReplicationMessage message, bool isCatchUp)
    {
        if (Chance(Scenario.DropPercent) || _cuts.Contains((from.Id, to.Id)))
            return;
        // A message reaches whichever process runs on arrival. A message for a replica that catches up waits there for its turn, and others
        // overtake it.
        After(Delay() + (isCatchUp ? CatchUpRest(to) : 0), () => RunOn(to, to.Process, () => Receive(to, message)));
        if (Chance(Scenario.DuplicatePercent))
            After(Delay() * 3, () => RunOn(to, to.Process, () => Receive(to, message)));
    }

    /// <summary>Returns how long catch-up work waits on a broker. The work itself takes a while, and a rest follows. Times are a tenth of
    /// the shipped ones.</summary>
    private long CatchUpRest(SimulatedBroker broker)
    {
        var now = TimeSpan.FromMilliseconds(_now * 10);
        var wait = broker.CatchUpRestUntil > now ? broker.CatchUpRestUntil - now : TimeSpan.Zero;
        broker.CatchUpRestUntil = CatchUpPace.RestUntil(broker.CatchUpRestUntil, now, TimeSpan.FromMilliseconds(_random.Next(100)),
            Scenario.CatchUpShare);
        return (long)(wait.TotalMilliseconds / 10);
    }

    private int Delay() => Chance(2) ? _random.Next(200) : 1 + _random.Next(Scenario.MaxDelayMs);

    private void Receive(SimulatedBroker broker, ReplicationMessage message)
    {
        if (Trace is not null && message is not Push { EndOffset: 0 }
            && message is not PushAnswer { Outcome: PushAnswerOutcome.Accepted, CountedEnd: 0 })
            Tell($"{broker.Id} <- {Describe(message)}");
        switch (message)
        {
            case Push push:
                var (start, end) = (broker.Log.LogStartOffset, broker.Log.LogEndOffset);
                broker.Follower.OnPush(push);
                NoteCatchUp(broker, end);
                if (broker.Log.LogStartOffset > start && broker.Log.Batches.Count == 0)
                    Figures.Resets++;
                if (broker.Log.Sync && push.Batches.Count > 0)
                    AfterOn(broker, 1 + _random.Next(5), () => Flush(broker));
                break;
            case AlignAnswer answer:
                var before = broker.Log.LogEndOffset;
                broker.Follower.OnAlignAnswer(answer);
                if (answer.ErasedEnd > 0 && before > broker.Log.LogStartOffset && broker.Log.LogEndOffset == broker.Log.LogStartOffset)
                    Figures.ErasedResets++;
                break;
            case AlignRequest request:
                broker.Leader?.OnAlignRequest(request, _now);
                break;
            case PushAnswer answer:
                broker.Leader?.OnPushAnswer(answer, _now);
                break;
        }
    }

    // Reads while the log continues; usually from the page cache.
    private void Fill(SimulatedBroker broker, FillPush fill)
    {
        if (broker.Leader is not { } leader)
            return;
        AfterOn(broker, (Chance(80) ? 0 : _random.Next(40)) + (fill.Lane == PushLane.CatchUp ? CatchUpRest(broker) : 0), () =>
        {
            var batches = broker.Log.Read(fill.From, fill.Limit, Scenario.BatchesPerPush);
            var end = batches is [.., var last] ? last.NextOffset : fill.Limit;
            if (Chance(90))
                leader.OnPushFilled(fill.To, fill.Session, fill.From, batches, end, _now);
            else
                AfterOn(broker, _random.Next(20), () => leader.OnPushFilled(fill.To, fill.Session, fill.From, batches, end, _now));
        });
    }

    private static string Describe(ReplicationMessage message) => message switch
    {
        Push push =>
            $"push {push.Epoch}/{push.Session} of {push.Leader}: "
            + $"{string.Join(' ', push.Batches.Select(b => $"{b.BaseOffset}-{b.NextOffset}@{b.Epoch}={SimulatedRecord.Header(b.Bytes)}"))} "
            + $"after {push.PreviousEnd}@{push.PreviousEpoch} up to {push.EndOffset}, epochs "
            + $"{string.Join(' ', push.Epochs.Select(e => $"{e.Epoch}:{e.StartOffset}"))}, log start {push.LogStart}, high watermark "
            + $"{push.HighWatermark}",
        PushAnswer answer =>
            $"answer {answer.Epoch}/{answer.Session} of {answer.Follower}: {answer.Outcome} end {answer.LogEnd} counted "
            + $"{answer.CountedEnd} fence {answer.Fence}",
        AlignRequest request => $"align? {request.Epoch}/{request.Session} of {request.Follower}: epoch {request.AskedEpoch}",
        AlignAnswer answer =>
            $"align! {answer.Epoch}/{answer.Session} of {answer.Leader}: epoch {answer.AskedEpoch} -> {answer.End.Epoch} ends at "
            + $"{answer.End.StartOffset}, erased {answer.ErasedEnd}",
        _ => message.ToString(),
    };
}
