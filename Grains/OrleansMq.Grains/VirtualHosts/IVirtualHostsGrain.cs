namespace OrleansMq.Grains.VirtualHosts;

/// <summary>The owner of all virtual hosts of AMQP, for the brokers of a replicated cluster.</summary>
[Alias("omq.IVirtualHostsGrain")]
internal interface IVirtualHostsGrain : IGrainWithStringKey
{
    /// <summary>Carries a command out, or returns what is newer than a broker's image.</summary>
    /// <param name="request">A <see cref="OrleansMq.VirtualHosts.VirtualHostRequest"/> as JSON.</param>
    /// <param name="cancellationToken">Ends the wait. The outcome is then unknown.</param>
    /// <returns>A <see cref="OrleansMq.VirtualHosts.VirtualHostReply"/> as JSON.</returns>
    [Alias("Send")]
    [ResponseTimeout(GrainTimes.Data)]
    Task<byte[]> SendAsync(byte[] request, CancellationToken cancellationToken = default);
}
