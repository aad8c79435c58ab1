using System.Diagnostics;

namespace OrleansMq.Tests.Benchmarks.Peers.Load;

/// <summary>Measures wall-clock and processor time since its creation.</summary>
/// <param name="brokerProcesses">The broker's processes; none if unknown.</param>
internal sealed class LoadMeter(IReadOnlyList<int> brokerProcesses)
{
    private readonly double _broker = ProcessorTime.Of(brokerProcesses);
    private readonly TimeSpan _generator = Environment.CpuUsage.TotalTime;
    private readonly long _start = Stopwatch.GetTimestamp();

    /// <summary>Returns the seconds so far, and the processor seconds of this process and of the broker.</summary>
    public (double Seconds, double GeneratorCpu, double? BrokerCpu) Read() => (Stopwatch.GetElapsedTime(_start).TotalSeconds,
        (Environment.CpuUsage.TotalTime - _generator).TotalSeconds,
        brokerProcesses.Count == 0 ? null : ProcessorTime.Of(brokerProcesses) - _broker);
}
