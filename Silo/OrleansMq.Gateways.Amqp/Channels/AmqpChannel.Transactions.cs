using OrleansMq.Gateways.Amqp.Alarms;
using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Gateways.Amqp.Wire.Methods;

namespace OrleansMq.Gateways.Amqp.Channels;

// Class tx. A commit is not atomic over queues.
internal sealed partial class AmqpChannel
{
    private Transaction? _transaction;

    private ValueTask SelectTransactions()
    {
        if (_confirms is not null)
            throw new AmqpException(ReplyCode.PreconditionFailed, "cannot switch from confirm to tx mode");
        _transaction ??= new Transaction(client.Client.Unfinished ?? new UnfinishedBytes(session.Registry.Memory, client.Client, null));
        _output.Send(default(TxSelectOk));
        return default;
    }

    // Returns come before commit-ok, which comes when all is stored.
    private async ValueTask CommitAsync()
    {
        var (publishes, settlements) = Current().Take();
        var bytes = publishes.Sum(static publish => (long)publish.Message.Bytes);
        session.Registry.Memory.Add(bytes);
        try
        {
            await CommitAsync(publishes, settlements).ConfigureAwait(false);
        }
        finally
        {
            session.Registry.Memory.Add(-bytes);
        }
        _output.Send(default(TxCommitOk));
    }

    private async ValueTask CommitAsync(List<(bool IsMandatory, AmqpMessage Message)> publishes,
        List<(List<Delivery> Deliveries, Outcome Outcome)> settlements)
    {
        var published = new List<Task<PublishOutcome>>();
        try
        {
            foreach (var (isMandatory, message) in publishes)
                published.AddRange(await RouteAsync(isMandatory, message).ConfigureAwait(false));
        }
        catch
        {
            // As below.
            lock (Gate)
                Restore(settlements);
            throw;
        }
        await Task.WhenAll(published).ConfigureAwait(false);
        if (!IsAccepted(published))
        {
            // What was published stays published; the deliveries return with the channel.
            lock (Gate)
                Restore(settlements);
            throw new AmqpException(ReplyCode.PreconditionFailed, "partial tx completion");
        }
        foreach (var (deliveries, outcome) in settlements)
            await SettleAllAsync(deliveries, outcome).ConfigureAwait(false);
    }

    private ValueTask Rollback()
    {
        var (_, settlements) = Current().Take();
        lock (Gate)
            Restore(settlements);
        _output.Send(default(TxRollbackOk));
        return default;
    }

    private Transaction Current() => _transaction ?? throw new AmqpException(ReplyCode.PreconditionFailed, "channel is not transactional");

    // The client holds them anew: the newest comes last.
    private void Restore(List<(List<Delivery> Deliveries, Outcome Outcome)> settlements)
    {
        foreach (var delivery in settlements.SelectMany(static item => item.Deliveries))
        {
            _unacknowledged.Add(delivery.Tag, delivery);
            delivery.Since = session.Time.GetTimestamp();
            if (delivery.Consumer is { } consumer)
                Hold(consumer, delivery);
            _lowestTag = Math.Min(_lowestTag, delivery.Tag);
        }
    }

    private sealed class Transaction(UnfinishedBytes unfinished)
    {
        // What one transaction may hold in memory.
        private const long MaxBytes = 64L << 20;

        private List<(bool IsMandatory, AmqpMessage Message)> _publishes = [];
        private List<(List<Delivery> Deliveries, Outcome Outcome)> _settlements = [];
        private long _bytes;

        /// <summary>The number of publishes.</summary>
        public int Publishes => _publishes.Count;

        /// <summary>The number of deliveries that it settles.</summary>
        public int Acknowledgements { get; private set; }

        public void Add(bool isMandatory, AmqpMessage message)
        {
            if (_bytes + message.Bytes > MaxBytes)
                throw new AmqpException(ReplyCode.ResourceError, $"a transaction has at most {MaxBytes} bytes: commit more often");
            _bytes += message.Bytes;
            if (!unfinished.Add(message.Bytes))
                throw unfinished.Fault();
            _publishes.Add((isMandatory, message));
        }

        // One with nothing to settle takes no memory.
        public void Add(List<Delivery> deliveries, Outcome outcome)
        {
            if (deliveries.Count == 0)
                return;
            Acknowledgements += deliveries.Count;
            if (_settlements.Count > 0 && _settlements[^1] is var (last, same) && same == outcome)
                last.AddRange(deliveries);
            else
                _settlements.Add((deliveries, outcome));
        }

        public (List<(bool IsMandatory, AmqpMessage Message)> Publishes, List<(List<Delivery> Deliveries, Outcome Outcome)> Settlements)
            Take()
        {
            var taken = (_publishes, _settlements);
            unfinished.Add(-_bytes);
            (_publishes, _settlements, _bytes, Acknowledgements) = ([], [], 0, 0);
            return taken;
        }

        /// <summary>The readers of the messages that it settles.</summary>
        public IEnumerable<IQueueReader> Readers =>
            _settlements.SelectMany(static item => item.Deliveries).Select(static delivery => delivery.Reader);

        public IEnumerable<Delivery> TakeDeliveries() => Take().Settlements.SelectMany(static item => item.Deliveries);
    }
}
