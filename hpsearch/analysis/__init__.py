"""What a study found: charts, findings in words, and one page that holds them all.

charts(study)         -> the charts that make sense for it, each as Plotly figure and as picture
findings(study)       -> which hyperparameters matter, and what to keep
write_report(study)   -> report.html and the pictures
"""
