namespace OrleansMq.VirtualHosts;

internal sealed partial class VirtualHostTopology
{
    /// <summary>Returns the edits that make this topology out of an earlier one, in an order in which they may be applied. Shards that both
    /// share are not looked at.</summary>
    public List<TopologyEdit> EditsSince(VirtualHostTopology before)
    {
        var removed = new List<TopologyEdit>();
        var unbound = new List<TopologyEdit>();
        var put = new List<TopologyEdit>();
        var bound = new List<TopologyEdit>();
        var dropped = new List<TopologyEdit>();
        var consuming = new List<TopologyEdit>();
        for (var shard = 0; shard < VirtualHostShard.Count; shard++)
        {
            var (was, now) = (before._shards[shard], _shards[shard]);
            if (ReferenceEquals(was, now))
                continue;
            // What has another id is gone, and new under the same name.
            removed.AddRange(was.Exchanges.Values.Where(exchange => now.Exchanges.GetValueOrDefault(exchange.Name)?.Id != exchange.Id)
                .Select(static exchange => new RemoveExchange(exchange)));
            removed.AddRange(was.Queues.Values.Where(queue => now.Queues.GetValueOrDefault(queue.Name)?.Id != queue.Id)
                .Select(static queue => new RemoveQueue(queue)));
            put.AddRange(now.Exchanges.Values.Where(exchange => was.Exchanges.GetValueOrDefault(exchange.Name) != exchange)
                .Select(static exchange => new PutExchange(exchange)));
            put.AddRange(now.Queues.Values.Where(queue => was.Queues.GetValueOrDefault(queue.Name) != queue)
                .Select(static queue => new PutQueue(queue)));
            dropped.AddRange(was.ConsumersBeyond(now).Select(static consumer => new DropConsumer(consumer)));
            consuming.AddRange(now.ConsumersBeyond(was).Select(static consumer => new PutConsumer(consumer)));
            unbound.AddRange(was.BindingsBeyond(now).Select(binding => new RemoveBinding(binding, IsDead: !IsInForce(binding))));
            bound.AddRange(now.BindingsBeyond(was).Select(static binding => new AddBinding(binding)));
        }
        return [.. dropped, .. unbound, .. removed, .. put, .. bound, .. consuming];
    }
}
