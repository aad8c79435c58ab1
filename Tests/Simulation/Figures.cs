namespace OrleansMq.Tests.Simulation;

/// <summary>What runs did: counted, so that a simulation of nothing fails.</summary>
internal sealed class Figures
{
    public int Seeds { get; set; }
    public long Steps { get; set; }
    public long Crashes { get; set; }
    public long Elections { get; set; }
    public long Acknowledged { get; set; }
    /// <summary>Runs that did not get well again within their time after the last fault.</summary>
    public int Stuck { get; set; }

    public void Add(Figures other)
    {
        Seeds += other.Seeds;
        Steps += other.Steps;
        Crashes += other.Crashes;
        Elections += other.Elections;
        Acknowledged += other.Acknowledged;
        Stuck += other.Stuck;
    }

    public override string ToString() =>
        $"{Seeds} seeds, {Steps} steps, {Crashes} crashes, {Elections} elections, {Acknowledged} records acknowledged, {Stuck} not well at the end";
}
