namespace OrleansMq.Hosting;

/// <summary>What hosts a broker and opens gateways for it, while it is configured.</summary>
public interface IBrokerBuilder
{
    /// <summary>Opens a gateway while the broker serves.</summary>
    /// <param name="create">Creates the gateway, given the host's services.</param>
    void AddGateway(Func<IServiceProvider, IGateway> create);
}
