namespace OrleansMq.VirtualHosts;

/// <summary>A decision on a command to one virtual host.</summary>
/// <param name="Settings">Its settings afterwards; the same instance if they do not change.</param>
/// <param name="Topology">The decision on its exchanges, queues and bindings.</param>
internal sealed record HostDecision(VirtualHostSettings Settings, TopologyDecision Topology)
{
    /// <summary>Decides on a command of a client.</summary>
    /// <param name="command">The command.</param>
    /// <param name="host">The working state.</param>
    /// <param name="newId">Returns a new random id.</param>
    /// <param name="newName">Returns a name for a queue without one.</param>
    public static HostDecision Of(VirtualHostCommand command, VirtualHostState host, Func<long> newId, Func<string> newName)
    {
        var topology = host.Topology;
        return new HostDecision(host.Settings, command switch
        {
            DeclareExchange declare => topology.DeclareExchange(declare.Exchange, newId()),
            DeleteExchange delete => topology.DeleteExchange(delete.Name, delete.IfUnused),
            Bind bind => topology.Bind(bind.Binding, bind.Connection),
            Unbind unbind => topology.Unbind(unbind.Binding, unbind.Connection),
            DeclareQueue declare when host.Settings.MaxQueues is { } most && topology.QueueCount >= most
                && topology.FindQueue(ResourceNames.Clean(declare.Queue.Name)) is null => TopologyDecision.Refuse(
                    AmqpRefusal.Precondition($"cannot declare queue '{ResourceNames.Clean(declare.Queue.Name)}': queue limit in vhost "
                        + $"'{topology.Name}' ({most}) is reached"), topology),
            DeclareQueue declare => topology.DeclareQueue(declare.Queue, declare.Connection, newId(), newName(),
                host.Settings.DefaultQueueType),
            DeleteQueue { ExpectedId: { } id } delete when topology.FindQueue(ResourceNames.Clean(delete.Name)) is { } other
                && other.Id != id => TopologyDecision.Keep(topology),
            DeleteQueue delete => topology.DeleteQueue(delete.Name, delete.Connection, delete.IfUnused),
            AddConsumer { Consumer: var consumer } => topology.AddConsumer(consumer,
                topology.FindQueue(consumer.Queue) is { } queue && host.Settings.Policies.SettingsOf(queue).SingleActiveConsumer),
            RemoveConsumer remove => topology.RemoveConsumer(remove.Queue, remove.QueueId, remove.Id),
            UseQueue => TopologyDecision.Keep(topology),
            EndQueue end => topology.EndQueue(end.Name, end.Id),
            EndConnection end => topology.EndConnection(end.Connection),
            _ => throw new ArgumentException($"The command {command.GetType().Name} is unknown.", nameof(command)),
        });
    }

    /// <summary>Decides on a change of settings alone.</summary>
    public static HostDecision Of(VirtualHostState host, VirtualHostSettings next) => new(next, TopologyDecision.Keep(host.Topology));
}
