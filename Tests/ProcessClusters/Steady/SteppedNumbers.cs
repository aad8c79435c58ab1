using System.Text;
using OrleansMq.Tests.Process.Running;

namespace OrleansMq.Tests.ProcessClusters.Steady;

/// <summary>The numbers of a client that is a program: lines of its input, which arrive step by step.</summary>
internal sealed class SteppedNumbers(SteadyTarget target)
{
    private readonly SteppedStream _lines = new();
    private int _given;

    /// <summary>The program's input.</summary>
    public Stream Lines => _lines;

    /// <summary>Gives the numbers up to the next hold.</summary>
    public void GoOn() => GiveTo(target.Holds.FirstOrDefault(hold => hold > _given, target.Count));

    /// <summary>Gives the numbers below that one.</summary>
    public void GiveTo(int end)
    {
        _lines.Give(Encoding.ASCII.GetBytes(string.Concat(Enumerable.Range(_given, end - _given).Select(static number => $"{number}\n"))));
        _given = end;
    }

    /// <summary>Ends the input.</summary>
    public void End() => _lines.End();
}
