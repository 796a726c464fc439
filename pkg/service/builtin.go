package service

// builtIn returns the codes of the built-in processors that are known.
func builtIn() []string {
	return []string{
		"pmml",
		"tensorflow_cpu", "tensorflow_gpu",
		"tensorflow_cpu_1.12", "tensorflow_cpu_1.14", "tensorflow_cpu_1.15", "tensorflow_cpu_2.3", "tensorflow_cpu_2.4", "tensorflow_cpu_2.7",
		"tensorflow_gpu_1.12", "tensorflow_gpu_1.14", "tensorflow_gpu_1.15", "tensorflow_gpu_2.4", "tensorflow_gpu_2.7",
		"pytorch_cpu_1.6", "pytorch_cpu_1.7", "pytorch_cpu_1.9", "pytorch_cpu_1.10",
		"pytorch_gpu_1.6", "pytorch_gpu_1.7", "pytorch_gpu_1.9", "pytorch_gpu_1.10",
		"caffe_cpu", "caffe_gpu",
		"onnx_cu100",
		"xgboost",
		"parameter_sever", // the platform's own spelling
		"alink_pai_processor",
		"xnn_cpu",
		"blade_cpu", "blade_cuda10.0_beta",
		"easyrec-1.5", "easyrec-2.4", "easyrec-torch-1.0", "easyrec-torch-1.2", "easyrec-torch-2.1",
		"easy_vision_cpu_tf1.12_torch151", "easy_vision_gpu_tf1.12_torch151",
		"easytransfer_cpu", "easytransfer_gpu",
		"easynlp", "easycv", "mediaflow", "triton",
	}
}
