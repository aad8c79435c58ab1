namespace OrleansMq.Tests.Cluster;

/// <summary>A silo's lifecycle that a test walks: it keeps who subscribed last.</summary>
internal sealed class RecordedLifecycle : ISiloLifecycle
{
    public int HighestCompletedStage => 0;
    public int LowestStoppedStage => 0;
    public ILifecycleObserver? Observer { get; private set; }

    public IDisposable Subscribe(string observerName, int stage, ILifecycleObserver observer)
    {
        Observer = observer;
        return new MemoryStream();
    }
}
