namespace OrleansMq.Grains.Brokers;

/// <summary>References to the grains of brokers.</summary>
internal static class BrokerGrains
{
    /// <summary>Returns a reference to a grain of the brokers. Orleans finds its class only while a silo is active that has it.</summary>
    /// <param name="grains">The way to the grains.</param>
    /// <param name="key">The grain's key.</param>
    /// <param name="error">The error while no broker is there: a retriable one.</param>
    /// <exception cref="BrokerException">No active silo is a broker.</exception>
    public static TGrain GetBrokerGrain<TGrain>(this IGrainFactory grains, string key, ErrorCode error = ErrorCode.LeaderNotAvailable)
        where TGrain : IGrainWithStringKey
    {
        try
        {
            return grains.GetGrain<TGrain>(key);
        }
        catch (ArgumentException missing) when (missing is not ArgumentNullException)
        {
            throw new BrokerException(error, $"No silo of the cluster is a broker now, or none has {typeof(TGrain).Name}, which brokers of "
                + "an earlier version may lack. Retry when a broker is there.", missing);
        }
    }
}
