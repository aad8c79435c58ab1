namespace OrleansMq.Grains.Topics;

/// <summary>
/// The cluster's grain while it is active on this silo, for calls on which its own work depends. Orleans deactivates an activation at any
/// time: a silo that held its directory entry died, or another activation was registered. It then waits for the running calls, and takes no
/// other one before they have ended; so a topic that asks through the grain's reference, and that such a call waits for, is asked in vain.
/// Calls through the seat run beside the activation's messages, one at a time with its other work. Thread safe.
/// </summary>
internal sealed class ControllerSeat
{
    private readonly Lock _lock = new();
    private (IClusterOwnerGrain Grain, TaskScheduler Scheduler)? _holder;

    /// <summary>Opens the seat for the calling activation.</summary>
    public void Take(IClusterOwnerGrain grain)
    {
        lock (_lock)
            _holder = (grain, TaskScheduler.Current);
    }

    /// <summary>Closes the seat, unless a later activation has it.</summary>
    public void Leave(IClusterOwnerGrain grain)
    {
        lock (_lock)
        {
            if (ReferenceEquals(_holder?.Grain, grain))
                _holder = null;
        }
    }

    /// <summary>Runs a call on the activation.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.BrokerNotAvailable"/>: the grain is not active on this silo.</exception>
    public Task<T> CallAsync<T>(Func<IClusterOwnerGrain, Task<T>> call)
    {
        lock (_lock)
        {
            return _holder is var (grain, scheduler)
                ? Task.Factory.StartNew(() => call(grain), CancellationToken.None, TaskCreationOptions.None, scheduler).Unwrap()
                : throw new BrokerException(ErrorCode.BrokerNotAvailable, "This broker does not control the cluster's metadata. Retry.");
        }
    }
}
