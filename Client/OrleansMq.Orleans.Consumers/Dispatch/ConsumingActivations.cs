namespace OrleansMq.Consumers;

/// <summary>The activations of a silo that consume, with a limit for each class. Thread-safe.</summary>
internal sealed class ConsumingActivations(OrleansMqConsumerOptions options)
{
    private readonly Lock _lock = new();
    private readonly Dictionary<GrainType, LinkedList<Consuming>> _byClass = [];
    private readonly Dictionary<IGrainContext, LinkedListNode<Consuming>> _nodes = [];

    /// <summary>An activation begins to consume.</summary>
    public void Begin(IGrainContext activation)
    {
        if (options.MaxActivations is null)
            return;
        lock (_lock)
        {
            if (!_byClass.TryGetValue(activation.GrainId.Type, out var all))
                _byClass[activation.GrainId.Type] = all = [];
            if (_nodes.TryGetValue(activation, out var node))
                all.Remove(node);
            else
            {
                _nodes[activation] = node = new LinkedListNode<Consuming>(new Consuming(activation));
                _ = RemoveAfterAsync(activation);
            }
            node.Value.Calls++;
            all.AddLast(node);
        }
    }

    /// <summary>An activation has consumed. Where its class has too many, the one without a record for the longest time is deactivated. One
    /// that consumes now stays.</summary>
    public void End(IGrainContext activation)
    {
        if (options.MaxActivations is not { } most)
            return;
        IGrainContext? oldest = null;
        lock (_lock)
        {
            if (_nodes.TryGetValue(activation, out var node))
                node.Value.Calls--;
            var all = _byClass[activation.GrainId.Type];
            if (all.Count > most && all.FirstOrDefault(static other => other.Calls == 0) is { } idle)
            {
                oldest = idle.Activation;
                Remove(oldest);
            }
        }
        oldest?.Deactivate(new DeactivationReason(DeactivationReasonCode.ApplicationRequested,
            $"More than {most} grains of its class consume on this silo."));
    }

    private async Task RemoveAfterAsync(IGrainContext activation)
    {
        await activation.Deactivated.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ForceYielding);
        lock (_lock)
            Remove(activation);
    }

    private void Remove(IGrainContext activation)
    {
        if (_nodes.Remove(activation, out var node))
            node.List!.Remove(node);
    }

    private sealed class Consuming(IGrainContext activation)
    {
        public IGrainContext Activation { get; } = activation;
        public int Calls { get; set; }
    }
}
