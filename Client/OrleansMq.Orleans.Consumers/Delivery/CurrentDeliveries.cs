namespace OrleansMq.Consumers;

/// <summary>The deliveries that an activation has: those that have its turn, or wait for it. More than one only where calls interleave. For
/// the activation's turns.</summary>
internal sealed class CurrentDeliveries
{
    private readonly List<Guid> _ids = new(1);

    /// <summary>Whether a delivery is one of them.</summary>
    /// <param name="delivery">The delivery's id.</param>
    public bool Has(Guid delivery) => _ids.Contains(delivery);

    /// <summary>Begins a delivery, which ends with the disposal.</summary>
    /// <param name="delivery">The delivery's id.</param>
    public Current Begin(Guid delivery)
    {
        _ids.Add(delivery);
        return new Current(_ids, delivery);
    }

    /// <summary>A delivery.</summary>
    public readonly struct Current(List<Guid> ids, Guid delivery) : IDisposable
    {
        /// <summary>It is over.</summary>
        public void Dispose() => ids.Remove(delivery);
    }
}
